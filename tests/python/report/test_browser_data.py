"""What the page's script is given, and the pictures that it shows."""

import base64
import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from coxlmm import ConceptDictionary
from coxlmm.report import report_html
from coxlmm.report.browser import as_script, browser_data, samples_of_images, similar_concepts
from coxlmm.report.captions import Captions, quoted
from coxlmm.report.pictures import Pictures, heat_uri


def data_of(dictionary, pictures=None):
    return browser_data(dictionary, samples_of_images(dictionary), Captions(dictionary), pictures or Pictures())


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_codes_of_the_samples_are_sparse_and_in_order(full):
    data = data_of(full)
    names = [sample[0] for sample in data["samples"]]
    assert [name for name in names if full.sample_ids.index(name) in full.thumbnails] == [
        full.sample_ids[i] for i in sorted(full.thumbnails)
    ]
    for name, *_, active in data["samples"]:
        codes = full.codes[full.sample_ids.index(name)]
        concepts, values = active[::2], active[1::2]
        assert sorted(concepts) == np.flatnonzero(codes > 0).tolist()
        assert values == pytest.approx(codes[concepts].tolist(), rel=5e-4)
        assert values == sorted(values, reverse=True)


def test_negative_activations_are_no_active_concepts(full):
    signed = replace(full, codes=full.codes - 1)
    for name, *_, active in data_of(signed)["samples"]:
        assert len(active) == 2 * np.count_nonzero(signed.codes[full.sample_ids.index(name)] > 0)


def test_images_of_samples_with_one_name_are_told_apart_by_their_activation(full):
    (hit, *_), *_ = full.images
    sample = full.sample_ids.index(hit.sample_id)
    grounded = {hit.sample_id for hits in full.images for hit in hits}
    twin = next(i for i in np.flatnonzero(full.codes[:, 0] == 0) if full.sample_ids[i] not in grounded)
    same = replace(full, sample_ids=[hit.sample_id if i == twin else name for i, name in enumerate(full.sample_ids)])
    data = data_of(same)
    shown = data["samples"][data["concepts"][0]["hits"][0]]
    assert "".join(shown[1:4]) == full.captions[sample]
    assert shown[5][shown[5].index(0) + 1] == pytest.approx(hit.activation, rel=5e-4)


def test_the_word_of_the_sample_is_marked_where_captions_have_several(full):
    two = replace(
        full,
        captions=["a dog and a cat"] * full.n_samples,
        sample_words=["cat" if i % 2 else "dog" for i in range(full.n_samples)],
        manifest=full.manifest | {"word": ["dog", "cat"]},
    )
    for name, before, marked, after, *_ in data_of(two)["samples"]:
        assert (before, marked, after) == (
            ("a dog and a ", "cat", "") if full.sample_ids.index(name) % 2 else ("a ", "dog", " and a cat")
        )
    html = report_html(two)
    assert "What the model represents where it says “dog” or “cat”" in html
    first, second = (np.count_nonzero(full.codes[i::2, 3] > 0) for i in (0, 1))
    assert f"active in {first} of 45 “dog”, {second} of 45 “cat”" in html
    hit = full.images[3][0]
    figure = html[html.index(f'title="{hit.sample_id}"') :]
    assert (
        f"<mark>{two.sample_words[full.sample_ids.index(hit.sample_id)]}</mark>" in figure[: figure.index("</figure>")]
    )


@pytest.mark.parametrize(
    ("word", "text"),
    [(None, ""), ("dog", "“dog”"), (["dog", "cat"], "“dog” or “cat”"), (["a", "b", "c"], "“a”, “b” or “c”")],
)
def test_words_are_quoted(word, text):
    assert quoted(word) == text


def test_200_concepts_of_1000_samples_stay_small(full):
    rng = np.random.default_rng(0)
    codes = rng.exponential(100, (1000, 200)) * (rng.random((1000, 200)) < 0.1)
    large = ConceptDictionary(
        estimator=type("Estimator", (), {"components_": rng.standard_normal((200, 8))})(),
        codes=codes,
        sample_ids=[str(i) for i in range(1000)],
        captions=["a dog"] * 1000,
        manifest={},
        relative_error=0.1,
        error_shares=np.zeros(200),
        images=[[] for _ in range(200)],
        thumbnails=dict.fromkeys(range(1000), next(iter(full.thumbnails.values()))),
    )
    assert len(as_script(data_of(large))) < 12 * np.count_nonzero(codes)


def test_data_cannot_end_its_element():
    text = "</script><!-- <script> \u2028 & \" '"
    written = as_script({text: [text]})
    assert "<" not in written
    assert json.loads(written) == {text: [text]}


def test_similar_concepts_are_those_of_largest_cosine():
    U = np.array([[1.0, 0, 0], [5, 5, 0], [-2, 0, 0], [3, 0.3, 0], [0, 0, 0]])
    similar = similar_concepts(U)
    assert similar[0] == [(3, 0.995), (1, 0.707)]  # not itself, no opposite, nothing that is at right angles
    assert [k for k, _ in similar[1]] == [3, 0]
    assert similar[4] == []
    assert [len(row) for row in similar_concepts(U, 1)] == [1, 1, 0, 1, 0]
    assert similar_concepts(np.ones((1, 3))) == [[]]


def test_every_picture_is_in_the_page_once(full):
    html = report_html(full)
    hits = [hit for hits in full.images for hit in hits]
    of_sample = {full.sample_ids[i]: webp for i, webp in full.thumbnails.items()}
    wanted = set((of_sample | {hit.sample_id: hit.thumbnail for hit in hits}).values())
    assert len(wanted) < len(hits) + len(full.thumbnails)  # many are shown more than once
    for webp in wanted:
        assert html.count(base64.b64encode(webp).decode()) == 1
    assert html.count("data:image/webp") == len(wanted)


def test_a_sample_that_grounds_a_concept_brings_no_second_picture(full):
    hit = full.images[0][0]
    other = next(webp for webp in full.thumbnails.values() if webp != hit.thumbnail)
    double = replace(full, thumbnails={full.sample_ids.index(hit.sample_id): other})
    pictures = Pictures()
    samples = {sample[0]: sample[4] for sample in data_of(double, pictures)["samples"]}
    assert samples[hit.sample_id] == pictures.number(hit.thumbnail)


def test_a_picture_keeps_its_proportions(full):
    pictures = Pictures()
    assert [pictures.number(full.thumbnails[i]) for i in (0, 2, 0)] == [0, 1, 0]
    assert all(rule.endswith("--aspect:2}") for rule in pictures.styles.splitlines())


def test_heat_is_drawn_ever_lighter_and_clearer():
    heat = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 12)
    drawn = opened(heat_uri(heat)).convert("RGBA")
    assert drawn.size == (12, 2)
    pixels = np.asarray(drawn, dtype=float).reshape(-1, 4)
    lightness = pixels[:, :3] @ [0.2126, 0.7152, 0.0722]  # what every reader sees, whatever colours
    assert all(b > a for a, b in pairwise(lightness))
    assert all(b <= a for a, b in pairwise(pixels[:, 3]))
    assert 0 < pixels[-1, 3] < pixels[0, 3] < 255
    assert len(heat_uri(np.random.default_rng(0).random((24, 24)))) < 2500
    large = opened(heat_uri(heat, 8)).convert("RGBA")
    assert large.size == (96, 16)
    assert np.ptp(np.asarray(large, dtype=float)[0, :, 0]) > 0
    assert len(np.unique(np.asarray(large)[0, :, 0])) > len(np.unique(np.asarray(drawn)[0, :, 0]))  # steps in between
    assert heat_uri(np.array([[-3.0, 7.0]])) == heat_uri(np.array([[0.0, 1.0]]))
