"""How soon a report is there in Chromium, and answers: ``python -m benchmarks.report_opening`` (needs playwright)."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

# Since the navigation began, in the browser's own clock: first paint with content, parsed and scripts run, loaded.
OPENED = """() => new Promise(resolve => new PerformanceObserver(painted => {
  const [paint] = painted.getEntriesByName("first-contentful-paint");
  const [navigation] = performance.getEntriesByType("navigation");
  const {domContentLoadedEventEnd: parsed, loadEventEnd: loaded} = navigation;
  if (paint) resolve({paint: paint.startTime, parsed, loaded});
}).observe({type: "paint", buffered: true}))"""
# From what a reader does to the next frame that shows it.
ANSWERED = """do_it => new Promise(resolve => {
  const begin = performance.now();
  (0, eval)(do_it);
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begin)));
})"""
ACTS = {
    "first search": "search.value = 'cat'; search.dispatchEvent(new Event('input'))",
    "next search": "search.value = ''; search.dispatchEvent(new Event('input'))",
    "order": "order.value = 'index'; order.dispatchEvent(new Event('change'))",
    "a concept": "document.querySelector('.card h3 a').click()",
    "next concept": "byId('view-after').click()",
    "samples": "view.close(); buildSamples(); byId('samples').scrollIntoView()",
}


def dictionary(n_concepts: int, n_samples: int, n_thumbnails: int) -> Any:
    """Random activations and words, and images of the demo's world: as large as real ones."""
    from coxlmm import ConceptDictionary, SemiNMF
    from coxlmm.concept import Effect
    from coxlmm.demo import world
    from coxlmm.grounding import ImageHit, Word, thumbnail

    rng = np.random.default_rng(0)
    codes = rng.exponential(100, (n_samples, n_concepts)) * (rng.random((n_samples, n_concepts)) < 0.1)
    estimator = SemiNMF(n_concepts)
    estimator.components_ = rng.standard_normal((n_concepts, 256))
    scenes = list(islice(world.scenes("test", count(), "dog"), n_samples))
    thumbnails = [thumbnail(scene.image) for scene in scenes]
    captions = [scene.reference for scene in scenes]
    vocabulary = sorted({word for caption in captions for word in caption.split()})
    words = [[Word(str(w), 9.0) for w in rng.choice(vocabulary, 10)] for _ in range(n_concepts)]
    strongest = np.argsort(-codes, axis=0)[:8].T
    return ConceptDictionary(
        estimator=estimator,
        codes=codes,
        sample_ids=[scene.id for scene in scenes],
        captions=captions,
        manifest={"word": "dog", "layer": 29, "n_layers": 30, "model_id": "owner/model"},
        relative_error=0.1,
        error_shares=rng.random(n_concepts) / n_concepts,
        words=words,
        raw_words=words,
        images=[
            [
                ImageHit(scenes[i].id, codes[i, k], captions[i], thumbnails[i], rng.random((24, 24), dtype=np.float32))
                for i in row
            ]
            for k, row in enumerate(strongest.tolist())
        ],
        thumbnails=dict(enumerate(thumbnails[:n_thumbnails])),
        stability=rng.random(n_concepts),
        effects=[Effect(float(rng.random()), 0.2, 0.1, 0.1, float(rng.random()), 32, 20) for _ in range(n_concepts)],
    )


def measure(browser: Any, url: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(url)
    times = page.evaluate(OPENED)
    for name, act in ACTS.items():
        times[name] = page.evaluate(ANSWERED, act)
    context.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--thumbnails", type=int, default=400, help="of the sample browser")
    parser.add_argument("--opens", type=int, default=7)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        print(f"Chromium {browser.version}; milliseconds, median of {options.opens} (largest)")
        for n_concepts in options.concepts:
            path = Path(folder) / f"{n_concepts}.html"
            dictionary(n_concepts, options.samples, options.thumbnails).report(path)
            runs = [measure(browser, path.as_uri()) for _ in range(options.opens)]
            figures = {name: [run[name] for run in runs] for name in runs[0]}
            print(f"{n_concepts} concepts, {path.stat().st_size / 1e6:.1f} MB: ", end="")
            print(", ".join(f"{name} {median(ms):.0f} ({max(ms):.0f})" for name, ms in figures.items()))
        browser.close()


if __name__ == "__main__":
    main()
