"""A concept dictionary on disk: ``config.json``, ``dictionary.safetensors``, ``images/``, and a model card."""

import json
import os
import re
from importlib import import_module
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from coxlmm.atomic import ensure_present, replaced_directory
from coxlmm.dictionary import ConceptDictionary
from coxlmm.grounding import ImageHit, Word
from coxlmm.states import installed_version

_FORMAT = "coxlmm.concept_dictionary"
_VERSION = 1
_CONFIG = "config.json"
_TENSORS = "dictionary.safetensors"
_CARD = "README.md"
_IMAGE_NAME = re.compile(r"images/[0-9]+\.webp")
_ESTIMATORS = "coxlmm.estimators"


def save(dictionary: ConceptDictionary, path: str | os.PathLike[str]) -> Path:
    """Writes a directory, whole or not at all; a dictionary saved there before is replaced.

    A model that was loaded from a local directory is named by the last part of its path alone. The states themselves
    are not kept; codes, captions and the thumbnails of grounded images are, so a loaded
    dictionary encodes, explains and reports as this one does.

    Raises
    ------
    FileExistsError
        If ``path`` is something else than a saved dictionary or an empty directory.
    ValueError
        If the estimator is not one of :mod:`coxlmm.estimators`: there would be no safe way to load it.
    """
    kind, params, fitted, tensors = _take_apart(dictionary.estimator)
    manifest = dict(dictionary.manifest)
    if dictionary.model_name != manifest.get("model_id"):
        # A dictionary is for sharing, and holds no paths of this machine.
        manifest |= {"model_id": dictionary.model_name, "model_is_local": True}
    tensors["codes"] = dictionary.codes
    tensors["error_shares"] = np.asarray(dictionary.error_shares, dtype=np.float64)
    files, images = _images(dictionary.images)
    config = {
        "format": _FORMAT,
        "version": _VERSION,
        "coxlmm_version": installed_version("coxlmm"),
        "estimator": {"class": kind, "params": params, "fitted": fitted},
        # JSON knows no NaN: it is unknown where a dictionary was imported without its states.
        "relative_error": None if isnan(dictionary.relative_error) else dictionary.relative_error,
        "manifest": manifest,
        "samples": {"ids": dictionary.sample_ids, "captions": dictionary.captions},
        "words": [[list(word) for word in words] for words in dictionary.words],
        "images": images,
    }
    document = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path = Path(os.path.abspath(path))
    with replaced_directory(path, holds_dictionary) as directory:
        # File names that are no text reach Python as lone surrogates, whose JSON is their escape.
        (directory / _CONFIG).write_bytes(document.encode("utf-8", "backslashreplace"))
        save_file({name: np.ascontiguousarray(a) for name, a in tensors.items()}, directory / _TENSORS)
        (directory / _CARD).write_bytes(_card(dictionary, manifest, kind, params).encode("utf-8", "replace"))
        for name, data in files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(data)
    return path


def load(path: str | os.PathLike[str]) -> ConceptDictionary:
    """Reads what :func:`save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no dictionary at ``path``.
    ValueError
        If it is damaged or of a newer format.
    """
    path = ensure_present(path, (_CONFIG, _TENSORS), "concept dictionary")
    config = _read_config(path / _CONFIG)
    try:
        tensors = load_file(path / _TENSORS)
        codes, error_shares = tensors.pop("codes"), tensors.pop("error_shares")
        dictionary = ConceptDictionary(
            estimator=_put_together(**config["estimator"], tensors=tensors),
            codes=codes,
            sample_ids=config["samples"]["ids"],
            captions=config["samples"]["captions"],
            manifest=config["manifest"],
            relative_error=nan if config["relative_error"] is None else config["relative_error"],
            error_shares=error_shares,
            words=[[Word(text, score) for text, score in words] for words in config["words"]],
            images=[[_hit(path, config["samples"], **image) for image in images] for images in config["images"]],
        )
        _check(dictionary)
    except (SafetensorError, KeyError, IndexError, TypeError, OSError, ValueError) as error:
        raise ValueError(f"the concept dictionary at {path} is damaged: {error}") from error
    return dictionary


def _take_apart(estimator: Any) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """An estimator's class, parameters, and what it learned: as JSON values and as arrays."""
    kind = type(estimator).__name__
    if type(estimator) is not getattr(import_module(_ESTIMATORS), kind, None):
        raise ValueError(f"only estimators of {_ESTIMATORS} can be saved, got {type(estimator).__qualname__}")
    # What only the fit needed and JSON cannot say (a callback, arrays to start from) is left at its default.
    params = _as_json(estimator.get_params(deep=False))
    learned = {k: v for k, v in vars(estimator).items() if k.endswith("_") and not k.startswith("_")}
    fitted = _as_json(learned)
    tensors = {f"estimator.{k}": v for k, v in learned.items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"}
    return kind, params, fitted, tensors


def _put_together(params: dict, fitted: dict, tensors: dict[str, np.ndarray], **rest: Any) -> Any:
    kind = rest.pop("class")
    module = import_module(_ESTIMATORS)
    if kind not in module.__all__:
        raise ValueError(f"its estimator {kind!r} is not one of {', '.join(module.__all__)}")
    estimator = getattr(module, kind)(**params)
    learned = fitted | {name.removeprefix("estimator."): array for name, array in tensors.items()}
    for name, value in learned.items():
        if not name.endswith("_") or name.startswith("_"):
            raise ValueError(f"{name!r} is not the name of something that an estimator learns")
        setattr(estimator, name, value)
    return estimator


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are JSON values, numbers of numpy as such."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    return {k: v for k, v in plain.items() if v is None or isinstance(v, (bool, int, float, str))}


def _images(hits: list[list[ImageHit]]) -> tuple[dict[str, bytes], list[list[dict[str, Any]]]]:
    """The files of all thumbnails, equal ones once, and the entries that name them."""
    names: dict[bytes, str] = {}  # by content: sample ids may be anything, even the same for two images
    files: dict[str, bytes] = {}
    entries: list[list[dict[str, Any]]] = []
    for row in hits:
        entries.append([])
        for hit in row:
            entry = {"sample_id": hit.sample_id, "activation": hit.activation, "caption": hit.caption, "file": None}
            if hit.thumbnail is not None:
                entry["file"] = names.setdefault(hit.thumbnail, f"images/{len(names):05d}.webp")
                files[entry["file"]] = hit.thumbnail
            entries[-1].append(entry)
    return files, entries


def _hit(path: Path, samples: dict, sample_id: str, activation: float, caption: str, file: str | None) -> ImageHit:
    if file is None:
        return ImageHit(sample_id, activation, caption)
    # A shared dictionary must not make its reader read other files.
    if not _IMAGE_NAME.fullmatch(file) or (path / file).is_symlink():
        raise ValueError(f"{file!r} is not a file of its images")
    return ImageHit(sample_id, activation, caption, (path / file).read_bytes())


def _check(dictionary: ConceptDictionary) -> None:
    n_samples, n_concepts = dictionary.codes.shape
    for what, found, expected in (
        ("sample ids", len(dictionary.sample_ids), n_samples),
        ("captions", len(dictionary.captions), n_samples),
        ("components", len(dictionary.components), n_concepts),
        ("error shares", len(dictionary.error_shares), n_concepts),
        ("lists of words", len(dictionary.words), n_concepts if dictionary.words else 0),
        ("lists of images", len(dictionary.images), n_concepts if dictionary.images else 0),
    ):
        if found != expected:
            raise ValueError(f"it has {found} {what}, and codes of {n_samples} samples and {n_concepts} concepts")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise ValueError(f"{file} is not the configuration of a concept dictionary (its format is not {_FORMAT!r})")
    version = config.get("version")
    if version != _VERSION:
        advice = ": upgrade coxlmm" if isinstance(version, int) and version > _VERSION else ""
        raise ValueError(f"{file} has format version {version!r}; this release reads {_VERSION}{advice}")
    return config


def holds_dictionary(path: Path) -> bool:
    """Whether ``path`` is a directory of a saved dictionary, which saving another replaces."""
    try:
        _read_config(path / _CONFIG)
    except (OSError, ValueError):
        return False
    return True


def _card(dictionary: ConceptDictionary, manifest: dict[str, Any], kind: str, params: dict[str, Any]) -> str:
    """The model card. Everything that came from a model or a data set is quoted, so that it cannot become markup."""
    prompt = manifest.get("prompt")
    as_extracted = "" if prompt is None else f", prompt={prompt!r}"
    facts = {
        "model": manifest.get("model_id"),
        "revision": manifest.get("revision"),
        "layer": manifest.get("layer"),
        "word": dictionary.word,
        "prompt": prompt,
        "samples": dictionary.n_samples,
        "concepts": dictionary.n_concepts,
        "relative squared error": f"{dictionary.relative_error:.4f}",
        "active concepts a sample": f"{dictionary.mean_active:.2f}",
        "estimator": f"{kind}({', '.join(f'{k}={v!r}' for k, v in params.items())})",
    }
    rows = "\n".join(f"| {name} | {_quoted(value)} |" for name, value in facts.items() if value is not None)
    concepts = "\n".join(
        f"| {c.index} | {c.share_of_activation:.1%} | {_quoted(', '.join(word.text for word in c.words))} |"
        for c in sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    )
    return f"""---
library_name: coxlmm
tags:
- explainability
- concepts
- dictionary-learning
---

# Concepts of a multimodal model at a word

Concept vectors that decompose the states with which a frozen image-text model predicts one word
([Parekh et al., NeurIPS 2024](https://arxiv.org/abs/2406.08074)). States are taken before the final norm.

| | |
|---|---|
{rows}

```python
from coxlmm import LMM, ConceptDictionary

dictionary = ConceptDictionary.from_pretrained("path/of/this/directory")
lmm = LMM.from_pretrained("the model above"{as_extracted})
print(dictionary.explain(lmm, "image.jpg"))
```

| concept | share of activation | words |
|---:|---:|---|
{concepts}
"""


def _quoted(value: Any) -> str:
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else ""
