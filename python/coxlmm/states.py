"""What was extracted: one hidden state a row, and where it came from."""

import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from coxlmm.atomic import replaced_directory
from coxlmm.states_files import StatesWriter, holds_states, read_group, read_states, write_group

__all__ = ["States", "StatesGroup", "holds_states", "installed_version"]


@dataclass(repr=False)
class States:
    """The states of a model at a word of interest.

    One row a sample; several where every visual token was asked for, and then what describes the sample is repeated.

    Attributes
    ----------
    X : ndarray of float32, n_rows x n_features
        What ``manifest["stream"]`` names, by default the residual stream after the chosen decoder layer, *before* the
        model's final norm. Memory-mapped and read-only when it was loaded from one file.
    sample_ids : list of str, n_rows
    captions : list of str, n_rows
        What the model wrote, or was given to read.
    positions : ndarray of int64, n_rows
        Index, among the generated tokens, of the first token of the matched word, whatever ``manifest["token"]`` says.
        Row ``i`` of ``X`` is made of states that *predict* the word, each computed one position before its token: for
        "first" the one before token ``positions[i]``, for "last" the one before the word's last token, for "mean" the
        mean of those before each of its tokens. Where ``manifest["position"]`` is "visual" it is the index of the
        visual token among those of its image; for "prompt" and "visual-mean" it is 0.
    manifest : dict
        JSON values only: word and matching options, layer, model id and revision, prompt, library versions, counts.
    references : list of tuples of str, n_rows, or None
        The reference captions of each sample.
    words : list of str, n_rows, or None
        Which word each row is of, where there are several: see :meth:`StatesGroup.together`.
    tokens : list of lists of int, n_rows, or None
        The generated tokens, with which a state can be computed again: see :func:`coxlmm.verification.verify_states`.

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
    references: list[tuple[str, ...]] | None = None
    tokens: list[list[int]] | None = None
    words: list[str] | None = None

    def __post_init__(self) -> None:
        self.X = np.asarray(self.X, dtype=np.float32)
        self.positions = np.asarray(self.positions, dtype=np.int64)
        if self.X.ndim != 2:
            raise ValueError(f"X must be n_samples x n_features, got an array of shape {self.X.shape}")
        self.sample_ids = [str(s) for s in self.sample_ids]
        self.captions = list(self.captions)
        if self.references is not None:
            self.references = [(r,) if isinstance(r, str) else tuple(r) for r in self.references]
        self.tokens = None if self.tokens is None else list(self.tokens)
        n = len(self.X)
        if self.positions.shape != (n,):
            raise ValueError(f"positions must have one entry for each of the {n} rows of X, got {self.positions.shape}")
        for name in ("sample_ids", "captions", "references", "tokens", "words"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} must have one entry for each of the {n} rows of X, got {len(values)}")

    def __repr__(self) -> str:
        word, layer = self.manifest.get("word"), self.manifest.get("layer")
        return f"States(word={word!r}, layer={layer}, {self.X.shape[0]} samples x {self.X.shape[1]} features)"

    def __len__(self) -> int:
        return len(self.X)

    def subset(self, indices: ArrayLike | slice) -> "States":
        """The rows at ``indices`` (integers, a boolean mask or a slice), in that order.

        Raises
        ------
        IndexError
            If an index is out of range or a mask has another length.
        """
        rows = np.arange(len(self))[indices if isinstance(indices, slice) else _as_index(indices)]

        def chosen(values: list[Any] | None) -> Any:
            return None if values is None else [values[i] for i in rows]

        return States(
            X=self.X[rows],
            sample_ids=chosen(self.sample_ids),
            captions=chosen(self.captions),
            positions=self.positions[rows],
            manifest=dict(self.manifest),
            references=chosen(self.references),
            tokens=chosen(self.tokens),
            words=chosen(self.words),
        )

    def apart(self) -> "StatesGroup":
        """By their words, rows of several words: what :meth:`StatesGroup.together` put together."""
        if self.words is None:
            return StatesGroup({self.manifest.get("word"): self})
        of_row = np.array(self.words)
        return StatesGroup({
            word: replace(self.subset(of_row == word), manifest={**self.manifest, "word": word}, words=None)
            for word in dict.fromkeys(self.words)
        })  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a directory: see :mod:`coxlmm.states_files` for what is in it. All or nothing.

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
        columns = {"references": self.references, "tokens": self.tokens, "words": self.words}
        known = {name: values for name, values in columns.items() if values is not None}
        writer = StatesWriter(directory, self.X.shape[1], list(known))
        writer.add(self.X, self.positions)
        for i, (name, caption) in enumerate(zip(self.sample_ids, self.captions, strict=True)):
            writer.describe(name, caption, **{name: values[i] for name, values in known.items()})
        writer.close(self.manifest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "States":
        """Reads what ``save`` wrote.

        ``X`` is mapped into memory where it lies in one file, and read into memory where it lies in several; for more
        than memory holds there is :meth:`coxlmm.RowBlocks.from_safetensors`.

        Raises
        ------
        FileNotFoundError
            If there are no states at ``path``, or an extraction there is unfinished.
        ValueError
            If they are damaged, of another format version, several (see :class:`StatesGroup`), or the files do not
            belong together.
        """
        return cls(**read_states(path))


class StatesGroup(Mapping[Hashable, States]):
    """States that were extracted together: of several words, several layers, or both.

    A mapping in the order of the request. Its keys are the words, or the layers' indices, or, where both are several,
    pairs ``(word, layer)``.
    """

    def __init__(self, states: Mapping[Hashable, States]) -> None:
        self._states = dict(states)

    def __getitem__(self, key: Hashable) -> States:
        try:
            return self._states[key]
        except KeyError:
            raise KeyError(f"{key!r}: there are {', '.join(map(repr, self._states))}") from None

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __repr__(self) -> str:
        return "StatesGroup(" + ", ".join(f"{key!r}: {len(states)}" for key, states in self.items()) + ")"

    def together(self) -> States:
        """The states of all words as one, in the order of the words, for concepts that words share.

        ``words`` says which each row is of, and ``manifest["word"]`` is the list of them; of the rest of the manifest
        it has what all agree in. An image whose caption has two of the words has two rows.

        Raises
        ------
        ValueError
            If they are of several layers, whose states have nothing in common.
        """
        members = list(self.values())
        layers = {states.manifest.get("layer") for states in members}
        if len(layers) > 1:
            raise ValueError(
                f"states of several layers ({', '.join(map(str, layers))}) have no concepts in common: take those of "
                f"one, {self!r}"
            )
        if len(members) == 1:
            return members[0]
        first = members[0].manifest
        common = {k: v for k, v in first.items() if all(states.manifest.get(k) == v for states in members)}

        def all_of(name: str) -> Any:
            columns = [getattr(states, name) for states in members]
            return None if any(column is None for column in columns) else [v for column in columns for v in column]

        return States(
            X=np.concatenate([states.X for states in members]),
            sample_ids=all_of("sample_ids"),
            captions=all_of("captions"),
            positions=np.concatenate([states.positions for states in members]),
            manifest={**common, "word": [states.manifest.get("word") for states in members]},
            references=all_of("references"),
            tokens=all_of("tokens"),
            words=[states.manifest.get("word") for states in members for _ in range(len(states))],
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a directory with one directory of states for each key: see :meth:`States.save`."""
        with replaced_directory(path, holds_states) as staging:
            for name, states in zip(write_group(staging, self._states), self.values(), strict=True):
                states._write(staging / name)
        return Path(os.path.abspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "StatesGroup":
        """Reads what :meth:`save` wrote; raises as :meth:`States.load` does."""
        return cls({key: States.load(directory) for key, directory in read_group(path).items()})


def _as_index(indices: ArrayLike) -> np.ndarray:
    index = np.atleast_1d(np.asarray(indices))
    return index.astype(np.int64) if index.size == 0 else index


@cache  # finding out takes as long as a caption of a small model
def installed_version(package: str) -> str | None:
    """The version of an installed package, for manifests; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return None
