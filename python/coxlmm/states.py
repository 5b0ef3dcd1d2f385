"""What was extracted: one hidden state a sample, and where it came from."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from coxlmm.atomic import ensure_present, replaced_directory

_FORMAT = "coxlmm.states"
_VERSION = 1
_TENSORS = "states.safetensors"
_MANIFEST = "manifest.json"


@dataclass(repr=False)
class States:
    """The states of a model at a word of interest, one row a sample.

    Attributes
    ----------
    X : ndarray of float32, n_samples x n_features
        The residual stream after the chosen decoder layer, *before* the model's final norm.
    sample_ids : list of str, n_samples
    captions : list of str, n_samples
        What the model wrote.
    positions : ndarray of int64, n_samples
        Index, among the generated tokens, of the first token of the matched word, whatever ``manifest["token"]`` says.
        Row ``i`` of ``X`` is made of states that *predict* the word, each computed one position before its token: for
        "first" the one before token ``positions[i]``, for "last" the one before the word's last token, for "mean" the
        mean of those before each of its tokens.
    manifest : dict
        JSON values only: word and matching options, layer, model id and revision, prompt, library versions, counts.
    references : list of str, n_samples, or None

    Raises
    ------
    ValueError
        If the lengths differ or ``X`` is not a matrix; the message has the numbers.
    """

    X: np.ndarray
    sample_ids: list[str]
    captions: list[str]
    positions: np.ndarray
    manifest: dict[str, Any] = field(default_factory=dict)
    references: list[str] | None = None

    def __post_init__(self) -> None:
        self.X = np.asarray(self.X, dtype=np.float32)
        self.positions = np.asarray(self.positions, dtype=np.int64)
        if self.X.ndim != 2:
            raise ValueError(f"X must be n_samples x n_features, got an array of shape {self.X.shape}")
        self.sample_ids = [str(s) for s in self.sample_ids]
        self.captions = list(self.captions)
        self.references = None if self.references is None else list(self.references)
        n = len(self.X)
        if self.positions.shape != (n,):
            raise ValueError(f"positions must have one entry for each of the {n} rows of X, got {self.positions.shape}")
        for name in ("sample_ids", "captions", "references"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} must have one entry for each of the {n} rows of X, got {len(values)}")

    def __repr__(self) -> str:
        word, layer = self.manifest.get("word"), self.manifest.get("layer")
        return f"States(word={word!r}, layer={layer}, {self.X.shape[0]} samples x {self.X.shape[1]} features)"

    def __len__(self) -> int:
        return len(self.X)

    def subset(self, indices: ArrayLike | slice) -> "States":
        """The samples at ``indices`` (integers, a boolean mask or a slice), in that order.

        Raises
        ------
        IndexError
            If an index is out of range or a mask has another length.
        """
        rows = np.arange(len(self))[indices if isinstance(indices, slice) else _as_index(indices)]
        return States(
            X=self.X[rows],
            sample_ids=[self.sample_ids[i] for i in rows],
            captions=[self.captions[i] for i in rows],
            positions=self.positions[rows],
            manifest=dict(self.manifest),
            references=None if self.references is None else [self.references[i] for i in rows],
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a directory with ``states.safetensors`` and ``manifest.json``, all or nothing.

        Interrupted at any moment, nothing half-written is ever found at ``path``: see
        :func:`coxlmm.atomic.replaced_directory`. States already there are replaced.

        Raises
        ------
        FileExistsError
            If ``path`` is something else than saved states.
        """
        with replaced_directory(path, holds_states) as staging:
            self._write(staging)
        return Path(os.path.abspath(path))

    def _write(self, directory: Path) -> None:
        tensors = directory / _TENSORS
        save_file({"X": np.ascontiguousarray(self.X), "positions": np.ascontiguousarray(self.positions)}, tensors)
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "n_samples": len(self),
            "n_features": int(self.X.shape[1]),
            "sha256": _sha256(tensors),
            "manifest": self.manifest,
            "samples": {"ids": self.sample_ids, "captions": self.captions, "references": self.references},
        }
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        # File names that are no text reach Python as lone surrogates, whose JSON is their escape.
        (directory / _MANIFEST).write_bytes(text.encode("utf-8", "backslashreplace"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "States":
        """Reads what ``save`` wrote.

        Raises
        ------
        FileNotFoundError
            If there are no states at ``path``.
        ValueError
            If they are damaged, of another format version, or the two files do not belong together.
        """
        path = ensure_present(path, (_MANIFEST, _TENSORS), "states")
        document = _read_manifest(path / _MANIFEST)
        checksum = _sha256(path / _TENSORS)
        if checksum != document["sha256"]:
            raise ValueError(
                f"{path / _TENSORS} is damaged or does not belong to the manifest beside it: "
                f"its SHA-256 is {checksum}, the manifest says {document['sha256']}"
            )
        try:
            tensors = load_file(path / _TENSORS)
            return cls(
                X=tensors["X"],
                positions=tensors["positions"],
                sample_ids=document["samples"]["ids"],
                captions=document["samples"]["captions"],
                references=document["samples"]["references"],
                manifest=document["manifest"],
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the states at {path} are damaged: {error}") from error


def _as_index(indices: ArrayLike) -> np.ndarray:
    index = np.atleast_1d(np.asarray(indices))
    return index.astype(np.int64) if index.size == 0 else index


def installed_version(package: str) -> str | None:
    """The version of an installed package, for manifests; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return None


def holds_states(path: Path) -> bool:
    """Whether ``path`` is a directory of saved states, which :meth:`States.save` replaces."""
    try:
        _read_manifest(path / _MANIFEST)
    except (OSError, ValueError):
        return False
    return True


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"{file} is not the manifest of states (its format is not {_FORMAT!r})")
    if document.get("version") != _VERSION:
        raise ValueError(f"{file} has format version {document.get('version')!r}; this release reads {_VERSION}")
    missing = {"sha256", "manifest", "samples"} - set(document)
    if missing:
        raise ValueError(f"{file} is damaged: {', '.join(sorted(missing))} missing")
    return document


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
