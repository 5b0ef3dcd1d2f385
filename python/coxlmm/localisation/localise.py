"""Heat maps of images: of the concepts of one, and of every image that grounds a dictionary."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from coxlmm.dictionary import ConceptDictionary
from coxlmm.grounding import ImageSource
from coxlmm.grounding.images import image_finder
from coxlmm.images import open_image
from coxlmm.localisation.maps import Method, gradient_maps, occlusion_maps, states_maps
from coxlmm.localisation.spoken import Spoken
from coxlmm.models import batches
from coxlmm.origin import require_origin
from coxlmm.samples import Sample
from coxlmm.settings import options_of
from coxlmm.states import States
from coxlmm.words import WordNotFoundError

if TYPE_CHECKING:
    from coxlmm.models import LMM

METHODS = get_args(Method)
DEFAULT_METHOD: Method = "states"


def require_method(dictionary: ConceptDictionary, method: str) -> None:
    """Raises ValueError if there is no such method, or none for the dictionary."""
    if method not in METHODS:
        raise ValueError(f"the method of heat maps must be one of {', '.join(METHODS)}, got {method!r}")
    if dictionary.manifest.get("position") == "visual" and method != "states":
        raise ValueError(
            f"the dictionary is of the states at every visual token, where a concept is known exactly: take the "
            f"method 'states' instead of {method!r}"
        )


def heat_maps_of(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    images: Sequence[Image.Image],
    tokens: Sequence[list[int] | None],
    concepts: Sequence[Sequence[int]],
    method: Method,
    batch_size: int = 16,
) -> list[dict[int, np.ndarray]]:
    """Maps of some concepts of each image, as they come: of any size and, but for "states", of either sign.

    Parameters
    ----------
    dictionary, lmm
    images : sequence of PIL images
    tokens : sequence of lists of int, or None
        Those of each image's caption, for "gradient" and "occlusion": an image without has no map there.
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
    ValueError
        If there is no such method.
    UnsupportedModelError
        If the method needs to know where in the image visual tokens lie, and they are in no grid.
    """
    require_method(dictionary, method)
    if method == "states":
        found = []
        for batch in batches(zip(images, concepts, strict=True), batch_size):
            maps = states_maps(dictionary, lmm, [image for image, _ in batch])
            found += [{k: of_all[k] for k in wanted} for of_all, (_, wanted) in zip(maps, batch, strict=True)]
        return found
    found = []
    for image, said, wanted in zip(images, tokens, concepts, strict=True):
        if said is None or not wanted:
            found.append({})
            continue
        spoken = Spoken(dictionary, lmm, image, said)
        if method == "gradient":
            maps = gradient_maps(spoken, wanted)
        else:
            maps = occlusion_maps(spoken, wanted, batch_size=batch_size)
        found.append(dict(zip(wanted, maps, strict=True)))
    return found


def as_heat(values: np.ndarray, largest: float) -> np.ndarray:
    """A map from 0, where a concept has nothing or less than nothing, to 1 where it has most."""
    return (np.maximum(values, 0) / (largest if largest > 0 else 1)).astype(np.float32)


def localise(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    *,
    images: ImageSource = None,
    method: Method = DEFAULT_METHOD,
    batch_size: int = 16,
) -> ConceptDictionary:
    """Gives every image that grounds a concept its heat map: :attr:`ImageHit.heat`.

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
    method : {"states", "gradient", "occlusion"}
        See :mod:`coxlmm.localisation.maps`.
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
    require_method(dictionary, method)
    require_origin(dictionary, lmm)
    concepts: dict[str, list[int]] = {}
    for k, hits in enumerate(dictionary.images):
        for hit in hits:
            concepts.setdefault(hit.sample_id, []).append(k)
    find = image_finder(images, dictionary.sample_ids, set(concepts))
    maps: dict[tuple[str, int], np.ndarray] = {}
    for batch in batches(concepts, batch_size):
        opened = {name: open_image(image, name) for name in batch if (image := find(name)) is not None}
        if not opened:
            continue
        tokens = {} if method == "states" else _tokens(dictionary, lmm, opened)
        found = heat_maps_of(
            dictionary,
            lmm,
            list(opened.values()),
            [tokens.get(name) for name in opened],
            [concepts[name] for name in opened],
            method,
            batch_size,
        )
        maps |= {(name, k): values for name, of in zip(opened, found, strict=True) for k, values in of.items()}
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
    return dictionary


def _tokens(dictionary: ConceptDictionary, lmm: "LMM", images: Mapping[str, Image.Image]) -> dict[str, list[int]]:
    """The tokens of the captions in which the dictionary's word was found, by sample id."""
    options = options_of(dictionary.manifest)
    captions = dict(zip(dictionary.sample_ids, dictionary.captions, strict=True))
    if dictionary.manifest.get("decoding") == "teacher-forced":
        return {name: lmm.caption_ids(captions[name]) for name in images}
    try:
        states = lmm.extract(
            [Sample(image, name) for name, image in images.items()],
            dictionary.word,
            batch_size=len(images),
            workers=0,
            on_error="raise",
            **options,
        )
    except WordNotFoundError:
        states = States(np.empty((0, 1)), [], [], np.empty(0), tokens=[])
    said = dict(zip(states.sample_ids, states.tokens or [], strict=True))
    lost = [name for name in images if name not in said]
    if lost:
        warnings.warn(
            f"{len(lost)} images have no heat map, the first is {lost[0]!r}: the model's caption no longer contains "
            f"{dictionary.word!r}; is it the model, with the prompt, that the dictionary is of?",
            stacklevel=3,
        )
    return said
