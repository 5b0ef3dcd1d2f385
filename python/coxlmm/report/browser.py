"""What the page's script is given: the samples of the browser, and what a concept's own view adds to its card."""

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from coxlmm.dictionary import ConceptDictionary
from coxlmm.grounding import ImageHit
from coxlmm.matching import cosines
from coxlmm.report.captions import Captions
from coxlmm.report.pictures import Pictures, heat_uri

_SIMILAR = 6  # concepts named as alike


def browser_data(
    dictionary: ConceptDictionary, hits: list[list[int]], captions: Captions, pictures: Pictures
) -> dict[str, Any]:
    """JSON values, as compact as they can be: a page may hold 200 concepts and 1000 samples.

    Parameters
    ----------
    dictionary : ConceptDictionary
    hits : list of lists of int
        The samples of every concept's images: :func:`samples_of_images`.
    captions : Captions
    pictures : Pictures
        Numbers those that are shown.

    Returns
    -------
    dict
        ``samples``: of each its name, its caption before, in and after the word, its picture (a number, or -1) and its
        active concepts with their activations in one list, strongest first. They are the samples that a concept was
        grounded in or that the dictionary has a thumbnail of. ``concepts``: of each its unfiltered ``words``, the
        samples of its images (``hits``, as positions in ``samples``), their ``heat`` maps and ``similar`` concepts.
    """
    shown: dict[int, bytes | None] = {}
    for row, samples in zip(dictionary.images, hits, strict=True):
        shown |= {sample: hit.thumbnail for hit, sample in zip(row, samples, strict=True)}
    shown |= {sample: picture for sample, picture in dictionary.thumbnails.items() if shown.get(sample) is None}
    pictures.add(*(hit.thumbnail for row in dictionary.images for hit in row))
    order = sorted(shown)
    place = {sample: i for i, sample in enumerate(order)}
    return {
        "samples": [
            [
                dictionary.sample_ids[sample],
                *captions[sample],
                -1 if (picture := shown[sample]) is None else pictures.number(picture),
                _active(dictionary.codes[sample]),
            ]
            for sample in order
        ],
        "concepts": [
            {
                "words": [[word.text, _rounded(word.score)] for word in concept.raw_words],
                "hits": [place[sample] for sample in hits[concept.index]],
                "heat": [None if hit.heat is None else heat_uri(hit.heat) for hit in concept.images],
                "similar": similar,
            }
            for concept, similar in zip(dictionary.concepts, similar_concepts(dictionary.components), strict=True)
        ],
    }


def as_script(data: Any) -> Markup:
    """JSON to stand in a script element, which only ``<`` could end: nothing in it is markup to a browser."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def similar_concepts(components: np.ndarray, n: int = _SIMILAR) -> list[list[tuple[int, float]]]:
    """For each concept the others of largest cosine, above zero, with it."""
    U = np.asarray(components, dtype=np.float64)
    similarity = cosines(U, U)
    np.fill_diagonal(similarity, -1)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :n]
    return [
        [(int(other), _rounded(similarity[k, other], 3)) for other in row if similarity[k, other] > 0]
        for k, row in enumerate(nearest)
    ]


def samples_of_images(dictionary: ConceptDictionary) -> list[list[int]]:
    """Of every concept the sample behind each image: its activation tells where several samples have one name."""
    named: dict[str, list[int]] = {}
    for sample, name in enumerate(dictionary.sample_ids):
        named.setdefault(name, []).append(sample)

    def sample_of(hit: ImageHit, concept: int) -> int:
        return min(named[hit.sample_id], key=lambda sample: abs(dictionary.codes[sample, concept] - hit.activation))

    return [[sample_of(hit, k) for hit in row] for k, row in enumerate(dictionary.images)]


def _active(codes: np.ndarray) -> list[float]:
    """Positive activations, largest first: concept, activation, concept, activation, ..."""
    order = [int(k) for k in np.argsort(-codes, kind="stable") if codes[k] > 0]
    return [value for k in order for value in (k, _rounded(codes[k]))]


def _rounded(value: float, figures: int = 4) -> float | int:
    """As short as JSON can say it: 3.142, 418, 0."""
    number = float(f"{value:.{figures}g}")
    return int(number) if number.is_integer() else number
