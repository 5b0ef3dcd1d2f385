"""Heat maps of images: of the concepts of one, and of every image that grounds a dictionary."""

import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from coxlmm.architecture import UnsupportedModelError
from coxlmm.dictionary import ConceptDictionary
from coxlmm.grounding import ImageSource
from coxlmm.grounding.images import image_finder
from coxlmm.images import open_image
from coxlmm.localisation.maps import Method, gradient_maps, occlusion_maps, states_maps
from coxlmm.localisation.spoken import Spoken
from coxlmm.models import batches
from coxlmm.origin import caption_tokens, require_origin

if TYPE_CHECKING:
    from coxlmm.models import LMM

METHODS = get_args(Method)


def methods_of(dictionary: ConceptDictionary, choice: Method | Literal["auto"]) -> list[Method]:
    """The methods to try one after the other, for as long as the model does not have what the one before takes.

    Those of "auto" begin with the most faithful one (``benchmarks/localisation.py``); occlusion, which takes a forward
    pass for each part of the image, is only used where it is named.

    Raises
    ------
    ValueError
        If there is no such method, or none for the dictionary.
    """
    if choice != "auto" and choice not in METHODS:
        raise ValueError(f"the method of heat maps must be auto, None or one of {', '.join(METHODS)}, got {choice!r}")
    if dictionary.manifest.get("position") != "visual":
        return ["gradient", "states"] if choice == "auto" else [choice]
    if choice not in ("auto", "states"):
        raise ValueError(
            f"the dictionary is of the states at every visual token, where a concept is known exactly: take the "
            f"method 'states' instead of {choice!r}"
        )
    return ["states"]


def heat_maps_of(
    spoken: Sequence[Spoken], concepts: Sequence[Sequence[int]], method: Method, batch_size: int = 16
) -> list[dict[int, np.ndarray]]:
    """Maps of some concepts of each image, as they come: of any size and of either sign.

    Parameters
    ----------
    spoken : sequence of Spoken
        Images with their captions, of one dictionary and model. Where there are no tokens of a caption, there is no map
        by "gradient" and "occlusion".
    concepts : sequence of sequences of int
        For each image.
    method : {"states", "gradient", "occlusion"}
    batch_size : int
        Of the forward passes.

    Returns
    -------
    list of dicts, from concept to ndarray, rows x columns

    Raises
    ------
    UnsupportedModelError
        If the method needs to know where in the image visual tokens lie, and they are in no grid.
    """
    found = []
    for batch in batches(zip(spoken, concepts, strict=True), batch_size):
        if method == "states":
            maps = states_maps(batch[0][0].dictionary, batch[0][0].lmm, [one.image for one, _ in batch])
            found += [{k: of_all[k] for k in wanted} for of_all, (_, wanted) in zip(maps, batch, strict=True)]
            continue
        for one, wanted in batch:
            if one.tokens is None or not wanted:
                found.append({})
                continue
            if method == "gradient":
                own = gradient_maps(one, wanted)
            else:
                own = occlusion_maps(one, wanted, batch_size=batch_size)
            found.append(dict(zip(wanted, own, strict=True)))
    return found


def as_heat(values: np.ndarray, largest: float) -> np.ndarray:
    """A map from 0, where a concept has nothing or less than nothing, to 1 where it has most."""
    return (np.maximum(values, 0) / (largest if largest > 0 else 1)).astype(np.float32)


def localise(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    *,
    images: ImageSource = None,
    method: Method | Literal["auto"] = "auto",
    batch_size: int = 16,
) -> ConceptDictionary:
    """Gives every image that grounds a concept its heat map: :attr:`ImageHit.heat`.

    The method that made them is kept in ``manifest["localisation"]``.

    Maps of one concept compare: all of them are divided by the largest value among them. What counts against the
    concept is 0, as is what the model does not see of an image that its processor crops.

    Parameters
    ----------
    dictionary : ConceptDictionary
        Grounded.
    lmm : LMM
        The model that it is of, with the same prompt.
    images : mapping, callable, sequence, iterable of samples, directory, or None
        Where the images are: see :func:`coxlmm.grounding.ground_images`. One that is nowhere has no map.
    method : {"auto", "states", "gradient", "occlusion"}
        See :mod:`coxlmm.localisation.maps`. "auto" is "gradient", which was found most faithful, and "states" where
        the model's layers pass no gradients on. "states" takes a forward pass for each image, "gradient" more than ten
        times as long, "occlusion" a forward pass for each of 64 parts of it.
    batch_size : int
        Images that go through the model at a time.

    Returns
    -------
    ConceptDictionary
        The same.

    Raises
    ------
    ValueError
        If the dictionary is not grounded, it is not of this model, or there is no such method.
    UnsupportedModelError
        As :func:`heat_maps_of` does.
    """
    if not dictionary.images:
        raise ValueError("the dictionary is not grounded yet: call ground(lmm, images=...) before localise")
    methods = methods_of(dictionary, method)
    require_origin(dictionary, lmm)
    while True:
        try:
            maps = _maps(dictionary, lmm, images, methods[0], batch_size)
            break
        except UnsupportedModelError:
            if not (methods := methods[1:]):
                raise
    largest = np.zeros(dictionary.n_concepts)
    for (_, k), values in maps.items():
        largest[k] = max(largest[k], values.max())
    dictionary.images = [
        [
            replace(hit, heat=None if (own := maps.get((hit.sample_id, k))) is None else as_heat(own, largest[k]))
            for hit in hits
        ]
        for k, hits in enumerate(dictionary.images)
    ]
    dictionary.manifest["localisation"] = {"method": methods[0]}
    return dictionary


def _maps(
    dictionary: ConceptDictionary, lmm: "LMM", images: ImageSource, method: Method, batch_size: int
) -> dict[tuple[str, int], np.ndarray]:
    """By sample id and concept."""
    word_of = _words(dictionary)
    wanted: dict[tuple[str, str | None], list[int]] = {}
    for k, hits in enumerate(dictionary.images):
        for hit in hits:
            wanted.setdefault((hit.sample_id, word_of(hit.sample_id, k)), []).append(k)
    find = image_finder(images, dictionary.sample_ids, {name for name, _ in wanted})
    maps: dict[tuple[str, int], np.ndarray] = {}
    for batch in batches(wanted, batch_size):
        opened = {name: open_image(image, name) for name, _ in batch if (image := find(name)) is not None}
        there = [key for key in batch if key[0] in opened]
        tokens = {}
        if method != "states" and there:
            tokens = caption_tokens(dictionary, lmm, opened)
            _warn_of_lost(opened.keys() - {name for name, _ in tokens}, dictionary)
        spoken = [Spoken(dictionary, lmm, opened[name], tokens.get((name, word)), word) for name, word in there]
        found = heat_maps_of(spoken, [wanted[key] for key in there], method, batch_size)
        maps |= {(name, k): values for (name, _), of in zip(there, found, strict=True) for k, values in of.items()}
    return maps


def _words(dictionary: ConceptDictionary) -> Callable[[str, int], str | None]:
    """At which word of a sample a concept is active most, where several share the dictionary."""
    words = dictionary.sample_words
    if words is None:
        return lambda name, k: dictionary.word
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(dictionary.sample_ids):
        rows.setdefault(name, []).append(row)
    return lambda name, k: words[max(rows[name], key=lambda row: dictionary.codes[row, k])]


def _warn_of_lost(lost: Set[str], dictionary: ConceptDictionary) -> None:
    if lost:
        warnings.warn(
            f"{len(lost)} images have no heat map, one is {min(lost)!r}: the model's caption no longer contains "
            f"{dictionary.word!r}; is it the model, with the prompt, that the dictionary is of?",
            stacklevel=4,
        )
