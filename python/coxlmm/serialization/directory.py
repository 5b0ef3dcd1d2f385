"""A concept dictionary on disk: ``config.json``, ``dictionary.safetensors``, ``images/``, and a model card."""

import dataclasses
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, get_type_hints

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from coxlmm.atomic import ensure_present, replaced_directory
from coxlmm.dictionary import ConceptDictionary
from coxlmm.names import is_local, last_part, public_name
from coxlmm.serialization.card import model_card
from coxlmm.serialization.checks import require_consistent
from coxlmm.serialization.estimators import put_together, take_apart
from coxlmm.serialization.records import pack, unpack
from coxlmm.serialization.shelf import Shelf
from coxlmm.states import installed_version

CONFIG, TENSORS, CARD, IMAGES = "config.json", "dictionary.safetensors", "README.md", "images/*.webp"
_FORMAT = "coxlmm.concept_dictionary"
# Major: a reader of an older one would misread it. Minor: there is more in it, which an older reader may leave out.
_VERSION = (2, 0)
_HEADER = ("format", "version", "coxlmm_version")
# Whatever a damaged file makes the readers of JSON, tensors and records raise.
_DAMAGE = (
    SafetensorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


def save(dictionary: ConceptDictionary, path: str | os.PathLike[str]) -> Path:
    """Writes a directory, whole or not at all; a dictionary saved there before is replaced.

    Every field is kept, so a loaded dictionary encodes, explains and reports as this one does, and saved again it
    yields the same bytes. The states themselves are not kept, nor folders of this machine: a model that was loaded from
    a local directory, and the source of the images, are named by the last part of their paths alone.

    Raises
    ------
    FileExistsError
        If ``path`` is something else than a saved dictionary or an empty directory.
    ValueError
        If the estimator is not one of :mod:`coxlmm.estimators`: there would be no safe way to load it. If parts of the
        dictionary do not belong together, or hold NaN where a number has to be.
    """
    require_consistent(dictionary)
    shared = dataclasses.replace(dictionary, manifest=_without_folders(dictionary))
    shelf = Shelf()
    config = {
        "format": _FORMAT,
        "version": "{}.{}".format(*_VERSION),
        "coxlmm_version": installed_version("coxlmm"),
        "estimator": take_apart(shared.estimator, shelf),
    }
    for field in dataclasses.fields(shared):
        if field.name not in config:
            config[field.name] = pack(getattr(shared, field.name), shelf, field.name)
    document = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    card = model_card(shared, config["estimator"])
    path = Path(os.path.abspath(path))
    with replaced_directory(path, holds_dictionary) as directory:
        # File names that are no text reach Python as lone surrogates, whose JSON is their escape.
        (directory / CONFIG).write_bytes(document.encode("utf-8", "backslashreplace"))
        save_file(shelf.tensors, directory / TENSORS)
        (directory / CARD).write_bytes(card.encode("utf-8", "replace"))
        for name, data in shelf.files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(data)
    return path


def load(path: str | os.PathLike[str]) -> ConceptDictionary:
    """Reads what :func:`save` wrote, in this release or another.

    Of a newer minor version of the format, what this release does not know is left out, with a warning that names it.

    Raises
    ------
    FileNotFoundError
        If there is no dictionary at ``path``.
    ValueError
        If it is damaged, or of a newer major version of the format.
    """
    path = ensure_present(path, (CONFIG,), "concept dictionary")
    config = _read_config(path / CONFIG)
    try:
        if _version(config)[0] == 1:
            config = _from_version_1(config)
        shelf = Shelf(path, load_file(path / TENSORS))
        hints = get_type_hints(ConceptDictionary)
        required = {f.name for f in dataclasses.fields(ConceptDictionary) if _has_no_default(f)}
        if required - config.keys():
            raise ValueError(f"it has no {', '.join(map(repr, sorted(required - config.keys())))}")
        known = {name: hint for name, hint in hints.items() if name in config and name != "estimator"}
        dictionary = ConceptDictionary(
            estimator=put_together(config["estimator"], shelf),
            **{name: unpack(hint, config[name], shelf, name) for name, hint in known.items()},
        )
        require_consistent(dictionary)
    except _DAMAGE as error:
        newer = f" (written by coxlmm {config.get('coxlmm_version')}, of a newer format)" * _is_newer(config)
        raise ValueError(f"the concept dictionary at {path} is damaged{newer}: {error}") from error
    unknown = shelf.unknown | (config.keys() - hints.keys() - {*_HEADER})
    if unknown:
        warnings.warn(
            f"the concept dictionary at {path} (format {config['version']}, written by coxlmm "
            f"{config.get('coxlmm_version')}) has what this release does not know and leaves out: "
            f"{', '.join(sorted(unknown))}",
            stacklevel=3,
        )
    return dictionary


def holds_dictionary(path: Path) -> bool:
    """Whether ``path`` is a directory of a saved dictionary, which saving another replaces."""
    try:
        _read_config(path / CONFIG)
    except (OSError, ValueError):
        return False
    return True


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise ValueError(f"{file} is not the configuration of a concept dictionary (its format is not {_FORMAT!r})")
    found = _version(config)
    if found is None:
        raise ValueError(f"{file} is damaged: its format version is {config.get('version')!r}")
    if found[0] > _VERSION[0]:
        raise ValueError(
            f"{file} has format version {config['version']}, written by coxlmm {config.get('coxlmm_version')}; this "
            f"release ({installed_version('coxlmm')}) reads up to {_VERSION[0]}: pip install --upgrade coxlmm"
        )
    return config


def _version(config: dict[str, Any]) -> tuple[int, int] | None:
    """Major and minor; version 1 had no minor."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})(?:\.([0-9]{1,4}))?", str(config.get("version")))
    return (int(found[1]), int(found[2] or 0)) if found else None


def _is_newer(config: dict[str, Any]) -> bool:
    return _version(config) > _VERSION


def _from_version_1(config: dict[str, Any]) -> dict[str, Any]:
    samples = config["samples"]
    unknown_error = config["relative_error"] is None
    return {
        **{name: value for name, value in config.items() if name != "samples"},
        "sample_ids": samples["ids"],
        "captions": samples["captions"],
        "codes": "codes",
        "error_shares": "error_shares",
        "relative_error": "NaN" if unknown_error else config["relative_error"],
        "images": [
            [{("thumbnail" if k == "file" else k): v for k, v in hit.items()} for hit in hits]
            for hits in config["images"]
        ],
    }


def _without_folders(dictionary: ConceptDictionary) -> dict[str, Any]:
    """A dictionary is for sharing, and says nothing of the folders of the machine that it was made on."""
    manifest = dict(dictionary.manifest)
    model = manifest.get("model_id")
    if model and is_local(model):
        manifest |= {"model_id": public_name(model), "model_is_local": True}
    source = manifest.get("source")
    if source is not None:
        name = source.get("path", source.get("name")) if isinstance(source, dict) else source
        manifest["source"] = {"name": last_part(name)} if isinstance(name, str) else {}
    manifest.pop("unreadable", None)  # paths, with the reasons
    return manifest


def _has_no_default(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
