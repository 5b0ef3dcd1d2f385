"""Whether the parts of a dictionary belong together: what may be written, and what was read."""

from numbers import Integral
from types import NoneType

import numpy as np

from coxlmm.dictionary import ConceptDictionary

# Of what is read in the manifest wherever a dictionary is used.
_KINDS = {"model_id": str, "revision": str, "prompt": str, "layer": Integral, "n_layers": Integral}


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
    _require_manifest(dictionary)
    _require_estimator(dictionary)
    _require_images(dictionary)


def _size(values: np.ndarray | None, expected: int) -> int:
    return expected if values is None else np.size(values)


def _require_manifest(dictionary: ConceptDictionary) -> None:
    manifest = dictionary.manifest
    for key, kind in _KINDS.items():
        if not isinstance(manifest.get(key), (kind, NoneType)):
            raise ValueError(f"its manifest's {key} must be of type {kind.__name__}, got {manifest[key]!r:.80}")
    words = manifest.get("word")
    if not all(isinstance(word, str) for word in (words if isinstance(words, list) else [words or ""])):
        raise ValueError(f"its manifest's word must be a text, or a list of them, got {words!r:.80}")


def _require_estimator(dictionary: ConceptDictionary) -> None:
    components = dictionary.components
    if components.ndim != 2 or components.dtype.kind != "f" or not np.isfinite(components).all():
        raise ValueError(f"its components must be a matrix of finite floats, got {components.dtype} {components.shape}")
    n_concepts, n_features = components.shape
    origin = np.zeros((1, n_features), dtype=components.dtype)
    encoded, decoded = dictionary.encode(origin), dictionary.decode(dictionary.codes[:1])
    if encoded.shape != (1, n_concepts) or decoded.shape != (1, n_features) or not np.isfinite(decoded).all():
        raise ValueError(
            f"its estimator encodes a state of {n_features} features to {encoded.shape} and decodes its activations to "
            f"{decoded.shape}, for {n_concepts} concepts"
        )


def _require_images(dictionary: ConceptDictionary) -> None:
    strange = [number for number in dictionary.thumbnails if not 0 <= number < dictionary.n_samples]
    if strange:
        raise ValueError(f"it has a thumbnail of sample {strange[0]}, of {dictionary.n_samples} from 0")
    hits = [hit for row in dictionary.images for hit in row]
    for image in [*dictionary.thumbnails.values(), *(hit.thumbnail for hit in hits if hit.thumbnail is not None)]:
        # RIFF: the kind, the length of what follows, the kind of that.
        if image[:4] != b"RIFF" or image[8:12] != b"WEBP" or int.from_bytes(image[4:8], "little") + 8 != len(image):
            raise ValueError(f"a thumbnail of {len(image)} bytes, {image[:12]!r}..., is no WebP, or cut short")
    for hit in hits:
        if hit.heat is not None and not (hit.heat.ndim == 2 and (hit.heat >= 0).all() and (hit.heat <= 1).all()):
            raise ValueError(
                f"the heat map of {hit.sample_id!r} must be rows x columns of 0 to 1, got {hit.heat!r:.80}"
            )
