"""Whether the parts of a dictionary belong together: what may be written, and what was read."""

import io
from collections.abc import Mapping
from contextlib import suppress
from numbers import Integral
from types import NoneType
from typing import Any

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator

from coxlmm.dictionary import ConceptDictionary
from coxlmm.words import WordMatcher

# Of what is read in the manifest wherever a dictionary is used.
_KINDS = {
    **dict.fromkeys(("model_id", "revision", "prompt", "inflections", "segmentation"), str),
    **dict.fromkeys(("stream", "position", "token", "decoding", "dtype"), str),
    **dict.fromkeys(("layer", "n_layers", "max_new_tokens"), Integral),
}
_KINDS_OF_GROUNDING = {"n_words": Integral, "contrast": str, "word_filter": dict, "rank_of_word": Integral}
_LARGEST_SIDE = 512  # pixels: thumbnails are much smaller, and what opens them trusts them to be


def require_consistent(dictionary: ConceptDictionary) -> None:
    """Raises ValueError, with the numbers, where a dictionary's parts do not belong together or are no numbers."""
    codes = dictionary.codes
    if codes.ndim != 2 or codes.dtype.kind != "f" or 0 in codes.shape or not np.isfinite(codes).all():
        raise ValueError(
            f"its codes must be finite floats, n_samples x n_components, got {codes.dtype} of shape {codes.shape}, "
            f"{np.count_nonzero(~np.isfinite(codes)) if codes.dtype.kind == 'f' else 0} of them not finite"
        )
    n_samples, n_concepts = codes.shape
    for what, found, expected in (
        ("sample ids", len(dictionary.sample_ids), n_samples),
        ("captions", len(dictionary.captions), n_samples),
        ("words of samples", n_samples if dictionary.sample_words is None else len(dictionary.sample_words), n_samples),
        ("components", len(dictionary.components), n_concepts),
        ("error shares", np.size(dictionary.error_shares), n_concepts),
        ("lists of words", len(dictionary.words), n_concepts if dictionary.words else 0),
        ("lists of raw words", len(dictionary.raw_words), n_concepts if dictionary.raw_words else 0),
        ("lists of images", len(dictionary.images), n_concepts if dictionary.images else 0),
        ("figures of stability", _size(dictionary.stability, n_concepts), n_concepts),
        ("effects", n_concepts if dictionary.effects is None else len(dictionary.effects), n_concepts),
    ):
        if found != expected:
            raise ValueError(f"it has {found} {what}, and codes of {n_samples} samples and {n_concepts} concepts")
    _require_figures(dictionary)
    _require_manifest(dictionary.manifest)
    _require_estimator(dictionary)
    _require_images(dictionary)


def _size(values: np.ndarray | None, expected: int) -> int:
    return expected if values is None else np.size(values)


def _require_figures(dictionary: ConceptDictionary) -> None:
    # Errors are not known of every dictionary, and NaN then.
    for what, values in (("error shares", dictionary.error_shares), ("stability", dictionary.stability)):
        if values is not None and (values.ndim != 1 or values.dtype.kind != "f"):
            raise ValueError(f"its {what} must be one float a concept, got {values.dtype} of shape {values.shape}")
    if dictionary.stability is not None and not np.isfinite(dictionary.stability).all():
        raise ValueError(f"its stability must be finite, got {dictionary.stability!r:.80}")
    for word in (word for row in (*dictionary.words, *dictionary.raw_words) for word in row):
        if not np.isfinite(word.score):
            raise ValueError(f"the score of its word {word.text!r:.80} must be finite, got {word.score}")


def _require_manifest(manifest: Mapping[str, Any]) -> None:
    _require_kinds(manifest, _KINDS, "manifest")
    for key in ("grounding", "localisation"):
        if not isinstance(manifest.get(key, {}), dict):
            raise ValueError(f"its manifest's {key} must be an object, got {manifest[key]!r:.80}")
    _require_kinds(manifest.get("grounding", {}), _KINDS_OF_GROUNDING, "manifest's grounding")
    words = manifest.get("word")
    if not all(isinstance(word, str) for word in (words if isinstance(words, list) else [words or ""])):
        raise ValueError(f"its manifest's word must be a text, or a list of them, got {words!r:.80}")
    if words is not None:
        # Without an optional package its word is not found in texts, and all else is as it is.
        with suppress(ImportError):
            WordMatcher.of(manifest)


def _require_kinds(values: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for key, kind in kinds.items():
        if not isinstance(values.get(key), (kind, NoneType)):
            raise ValueError(f"its {where}'s {key} must be of type {kind.__name__}, got {values[key]!r:.80}")


def _require_estimator(dictionary: ConceptDictionary) -> None:
    components = dictionary.components
    # To encode takes memory and time of the square of their number: a small file must not say that it is large.
    if dictionary.n_concepts > dictionary.n_samples:
        raise ValueError(
            f"it has {dictionary.n_concepts} concepts of {dictionary.n_samples} samples, and no fit finds more "
            f"concepts than there are samples"
        )
    _require_components(dictionary.estimator, dictionary.n_concepts)
    n_concepts, n_features = components.shape
    origin = np.zeros((1, n_features), dtype=components.dtype)
    encoded, decoded = dictionary.encode(origin), dictionary.decode(dictionary.codes[:1])
    if encoded.shape != (1, n_concepts) or decoded.shape != (1, n_features) or not np.isfinite(decoded).all():
        raise ValueError(
            f"its estimator encodes a state of {n_features} features to {encoded.shape} and decodes its activations to "
            f"{decoded.shape}, for {n_concepts} concepts"
        )


def _require_components(estimator: Any, n_concepts: int) -> None:
    """Also of the estimators that one is made of."""
    found = np.asarray(estimator.components_)
    if found.ndim != 2 or 0 in found.shape or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise ValueError(f"its components must be a matrix of finite floats, got {found.dtype} {found.shape}")
    if len(found) != n_concepts:
        raise ValueError(f"its {type(estimator).__name__} has {len(found)} components, for {n_concepts} concepts")
    for name, value in vars(estimator).items():
        if name.endswith("_") and isinstance(value, BaseEstimator):
            _require_components(value, n_concepts)


def _require_images(dictionary: ConceptDictionary) -> None:
    strange = [number for number in dictionary.thumbnails if not 0 <= number < dictionary.n_samples]
    if strange:
        raise ValueError(f"it has a thumbnail of sample {strange[0]}, of {dictionary.n_samples} from 0")
    hits = [hit for row in dictionary.images for hit in row]
    pictures = [*dictionary.thumbnails.values(), *(hit.thumbnail for hit in hits if hit.thumbnail is not None)]
    for picture in dict.fromkeys(pictures):
        _require_thumbnail(picture)
    known = set(dictionary.sample_ids)
    for hit in hits:
        if hit.sample_id not in known:
            raise ValueError(f"{hit.sample_id!r:.80} is none of its samples, and an image of a concept")
        if not np.isfinite(hit.activation):
            raise ValueError(f"the activation of {hit.sample_id!r} must be finite, got {hit.activation}")
        if hit.heat is not None and not _is_heat_map(hit.heat):
            raise ValueError(
                f"the heat map of {hit.sample_id!r} must be rows x columns of 0 to 1, got {hit.heat!r:.80}"
            )


def _require_thumbnail(data: bytes) -> None:
    """Looks at the header alone, which is cheap."""
    # RIFF: the kind, the length of what follows, the kind of that.
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise ValueError(f"a thumbnail of {len(data)} bytes, {data[:12]!r}..., is no WebP, or cut short")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as opened:
            size = opened.size
    except Exception as error:  # of any kind, for a broken file
        raise ValueError(f"a thumbnail of {len(data)} bytes cannot be opened: {error}") from error
    if max(size) > _LARGEST_SIDE:
        raise ValueError(f"a thumbnail has {size[0]} x {size[1]} pixels, and may have {_LARGEST_SIDE} a side")


def _is_heat_map(heat: np.ndarray) -> bool:
    return heat.ndim == 2 and 0 not in heat.shape and bool((heat >= 0).all() and (heat <= 1).all())
