"""A real browser, shared by all tests of the page, and dictionaries with everything that a page can show."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from concepts.conftest import (  # noqa: F401 (fixtures of the tests here)
    dictionary,
    dog_dictionary,
    dog_states,
    lmm,
    one_thread,
    speaker,
    states,
)
from concepts.world import ANIMALS
from PIL import Image
from report.visit import Visit

from coxlmm import ConceptDictionary, SemiNMF, States
from coxlmm.concept import Effect
from coxlmm.grounding import Word, ground_images

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a page; at the end of the test, whatever was done to it, nothing was said on the console or requested."""
    visits = []

    def open_page(path, **context):
        visits.append((path, Visit(chromium, path, **context)))
        return visits[-1][1].page

    yield open_page
    for path, visited in visits:
        visited.close()
        assert visited.console == []
        assert {url.partition("#")[0] for url in visited.requests if not url.startswith("data:")} == {path.as_uri()}


def striped_image(seed: int) -> Image.Image:
    """A small picture, twice as wide as high, that no other seed gives."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(np.repeat(rng.integers(0, 256, (16, 4, 3), dtype=np.uint8), 8, axis=1))


def webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def full():
    """Everything that a dictionary can know of its concepts: six of them, whose orders by any measure differ."""
    rng = np.random.default_rng(0)
    n, k = 90, 6
    codes = rng.exponential(2.0, (n, k)) * (rng.random((n, k)) < 0.6)
    fitted = ConceptDictionary.fit(
        States(
            X=codes @ rng.standard_normal((k, 12)) + 0.05 * rng.standard_normal((n, 12)),
            sample_ids=[f"photos/{i}.png" for i in range(n)],
            captions=[f"a dog and {ANIMALS[i % len(ANIMALS)]} number {i}" for i in range(n)],
            positions=np.ones(n),
            manifest={"word": "dog", "layer": 2, "n_layers": 3, "model_id": "owner/model", "decoding": "greedy"},
        ),
        SemiNMF(k, l1=0.5, random_state=0),
    )
    fitted.words = [[Word(f"word{c}{rank}", 9.5 - rank) for rank in range(5)] for c in range(k)]
    fitted.raw_words = [[Word(f" raw{c}", 7.0), Word("\n", 3.0)] for c in range(k)]
    hits = ground_images(
        fitted.codes, fitted.sample_ids, fitted.captions, 10, lambda name: striped_image(int(name[7:-4]))
    )
    fitted.images = [[replace(hit, heat=rng.random((4, 8), dtype=np.float32)) for hit in row] for row in hits]
    fitted.thumbnails = {i: webp(striped_image(i)) for i in range(0, n, 2)}
    fitted.stability = np.array([0.5, 0.9, 0.7, 0.3, 0.95, 0.6])
    fitted.effects = [
        Effect(divergence, changed, 0.02, 0.01, p, 16, 20, 0.4, 0.2, 0.03)
        for divergence, changed, p in [
            (0.3, 0.2, 0.01), (0.01, 0.0, 0.6), (0.8, 0.5, 0.01), (0.2, 0.0, 0.02), (0.5, 0.4, 0.01), (0.02, 0.03, 0.3)
        ]
    ]  # fmt: skip
    return fitted


@pytest.fixture(scope="session")
def full_report(full, tmp_path_factory):
    return full.report(tmp_path_factory.mktemp("report") / "report.html")
