"""States on disk: shards of safetensors, a line of JSON a sample, and a manifest that vouches for both.

::

    states/
      manifest.json                        format, number of rows and features, SHA-256 of the other files, provenance
      states-00001-of-00002.safetensors    X (rows x features, float32) and positions (rows, int64), in order
      states-00002-of-00002.safetensors
      samples.jsonl                        id, caption, rows; references and tokens where there are any

Several that were extracted together are directories of this kind in one directory, named by its ``group.json``.
"""

import hashlib
import json
import os
from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from coxlmm.atomic import ensure_present, write_file
from coxlmm.row_blocks import RowBlocks

_FORMAT = "coxlmm.states"
_GROUP_FORMAT = "coxlmm.states.group"
_VERSION = 2
_MANIFEST = "manifest.json"
_SAMPLES = "samples.jsonl"
_GROUP = "group.json"
# Of one shard. The writer holds this much, twice while it writes, whatever the number of rows.
_SHARD_BYTES = 256 << 20


def unfinished(path: str | os.PathLike[str]) -> Path:
    """The directory in which an extraction to ``path`` keeps what it has done so far."""
    path = Path(os.path.realpath(path))
    return path.parent / f"{path.name}.unfinished"


class StatesWriter:
    """Writes rows and samples into a new directory as they come, without holding more than one shard.

    Rows and samples may come in any interleaving that keeps their order.

    Parameters
    ----------
    directory : Path
        Made if missing.
    n_features : int
    columns : sequence of str
        What is known of the samples beside id and caption: "references", "tokens".
    """

    def __init__(self, directory: Path, n_features: int, columns: Sequence[str] = ()) -> None:
        self._directory = directory
        self._n_features = n_features
        self._columns = list(columns)
        self._limit = max(1, _SHARD_BYTES // (4 * n_features + 8))
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_pending = 0
        self._shards: list[tuple[Path, int]] = []
        self._n_described = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._samples = open(directory / _SAMPLES, "wb")  # noqa: SIM115 (closed by close)

    def add(self, X: np.ndarray, positions: np.ndarray) -> None:
        """Appends rows."""
        for start in range(0, len(X), self._limit):
            self._pending.append((X[start : start + self._limit], positions[start : start + self._limit]))
            self._n_pending += len(self._pending[-1][0])
            while self._n_pending >= self._limit:
                self._write_shard(self._limit)

    def describe(self, sample_id: str, caption: str, rows: int = 1, **columns: Sequence[Any]) -> None:
        """Appends the sample to which the next ``rows`` rows belong."""
        line = {"id": sample_id, "caption": caption, "rows": rows}
        self._samples.write(_json(line | {name: columns[name] for name in self._columns}) + b"\n")
        self._n_described += rows

    def close(self, manifest: dict[str, Any]) -> None:
        """Writes what is left and the manifest.

        Raises
        ------
        ValueError
            If not every row has a sample.
        """
        self._samples.close()
        if self._n_pending or not self._shards:
            self._write_shard(self._n_pending)
        n_rows = sum(rows for _, rows in self._shards)
        if n_rows != self._n_described:
            raise ValueError(f"the samples have {self._n_described} rows, but X has {n_rows}")
        shards = []
        for i, (path, rows) in enumerate(self._shards):
            name = f"states-{i + 1:05d}-of-{len(self._shards):05d}.safetensors"
            os.rename(path, self._directory / name)
            shards.append({"file": name, "rows": rows, "sha256": _sha256(self._directory / name)})
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "n_rows": n_rows,
            "n_features": self._n_features,
            "shards": shards,
            "samples": {"file": _SAMPLES, "columns": self._columns, "sha256": _sha256(self._directory / _SAMPLES)},
            "manifest": manifest,
        }
        (self._directory / _MANIFEST).write_bytes(_json(document, indent=1) + b"\n")

    def _write_shard(self, n: int) -> None:
        starts = [0, *accumulate(len(X) for X, _ in self._pending)]
        whole = sum(1 for stop in starts[1:] if stop <= n)
        taken, self._pending = self._pending[:whole], self._pending[whole:]
        if starts[whole] < n:  # the shard ends within a block
            X, positions = self._pending[0]
            cut = n - starts[whole]
            taken.append((X[:cut], positions[:cut]))
            self._pending[0] = (X[cut:], positions[cut:])
        self._n_pending -= n
        path = self._directory / f"shard-{len(self._shards)}"
        empty = (np.empty((0, self._n_features), np.float32), np.empty(0, np.int64))
        X, positions = (np.concatenate(columns) for columns in zip(empty, *taken, strict=True))
        save_file({"X": X, "positions": positions}, path)
        self._shards.append((path, n))


def read_states(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of :class:`coxlmm.States` that a directory holds; raises as :meth:`coxlmm.States.load` does."""
    path = Path(os.path.abspath(path))
    if not (path / _MANIFEST).exists():
        if (path / _GROUP).exists():
            raise ValueError(
                f"{path} holds several states ({', '.join(p.name for p in read_group(path).values())}): load one of "
                f"these directories, or all with StatesGroup.load"
            )
        if not path.exists() and unfinished(path).exists():
            raise FileNotFoundError(
                f"no states at {path}: their extraction is unfinished; what it has done so far is in "
                f"{unfinished(path)}, and the same extraction started again goes on from there"
            )
    ensure_present(path, (_MANIFEST,), "states")
    document = _read_document(path / _MANIFEST, _FORMAT, {"shards", "samples", "manifest"})
    try:
        files = [(path / shard["file"], shard["sha256"]) for shard in document["shards"]]
        samples = (path / document["samples"]["file"], document["samples"]["sha256"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path / _MANIFEST} is damaged: {error!r}") from error
    if not files:
        raise ValueError(f"{path / _MANIFEST} is damaged: it names no shards")
    ensure_present(path, [file.name for file, _ in [*files, samples]], "states")
    for file, expected in [*files, samples]:
        checksum = _sha256(file)
        if checksum != expected:
            raise ValueError(
                f"{file} is damaged or does not belong to the manifest beside it: its SHA-256 is {checksum}, the "
                f"manifest says {expected}"
            )
    try:
        return _assemble([file for file, _ in files], samples[0], document)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the states at {path} are damaged: {error}") from error


def _assemble(shards: list[Path], samples: Path, document: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {key: [] for key in ("id", "caption", *document["samples"]["columns"])}
    with open(samples, encoding="utf-8") as lines:
        for line in lines:
            sample = json.loads(line)
            for key, values in columns.items():
                values.extend([sample[key]] * sample["rows"])
    return {
        "X": _mapped(shards[0]) if len(shards) == 1 else _joined(shards),
        "positions": np.concatenate([_tensor(shard, "positions") for shard in shards]),
        "sample_ids": columns["id"],
        "captions": columns["caption"],
        "references": columns.get("references"),
        "tokens": columns.get("tokens"),
        "words": columns.get("words"),
        "manifest": document["manifest"],
    }


def _mapped(shard: Path) -> np.ndarray:
    X = _tensor(shard, "X") if _is_empty(shard) else RowBlocks.from_safetensors(shard, "X").blocks[0]
    return np.asarray(X)


def _joined(shards: list[Path]) -> np.ndarray:
    # Into one array, a shard at a time: to read them all first would take the memory twice.
    mapped = [_mapped(shard) for shard in shards]
    X = np.empty((sum(map(len, mapped)), mapped[0].shape[1]), np.float32)
    start = 0
    while mapped:
        block = mapped.pop(0)
        X[start : start + len(block)] = block
        start += len(block)
    return X


def _is_empty(shard: Path) -> bool:
    with safe_open(shard, "numpy") as file:
        return 0 in file.get_slice("X").get_shape()


def _tensor(shard: Path, name: str) -> np.ndarray:
    with safe_open(shard, "numpy") as file:
        return file.get_tensor(name)


def rewrite_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Replaces the provenance of the states at ``path``, their other files staying as they are."""
    document = _read_document(path / _MANIFEST, _FORMAT, {"shards"})
    write_file(path / _MANIFEST, _json(document | {"manifest": manifest}, indent=1) + b"\n")


def write_group(directory: Path, keys: Iterable[Hashable]) -> list[str]:
    """Names the directories of a :class:`coxlmm.states.StatesGroup`'s members, and writes them down."""
    members: list[dict[str, Any]] = []
    taken = {_GROUP}
    for key in keys:
        name = _directory(key)
        if name.casefold() in taken:  # on file systems to which "Dog" and "dog" are one name
            name = f"{name}-{len(members)}"
        taken.add(name.casefold())
        members.append({"key": list(key) if isinstance(key, tuple) else key, "directory": name})
    directory.mkdir(parents=True, exist_ok=True)
    document = {"format": _GROUP_FORMAT, "version": _VERSION, "members": members}
    (directory / _GROUP).write_bytes(_json(document, indent=1) + b"\n")
    return [member["directory"] for member in members]


def read_group(path: str | os.PathLike[str]) -> dict[Hashable, Path]:
    """The directories of a group's members by their keys."""
    path = ensure_present(path, (_GROUP,), "group of states")
    members = _read_document(path / _GROUP, _GROUP_FORMAT, {"members"})["members"]
    return {
        tuple(member["key"]) if isinstance(member["key"], list) else member["key"]: path / member["directory"]
        for member in members
    }


def _directory(key: Hashable) -> str:
    if isinstance(key, tuple):
        return "-".join(map(_directory, key))
    if isinstance(key, int):
        return f"layer-{key:02d}"
    # As in an address: whatever the word, the name is one that every file system takes.
    name = quote(str(key), safe=" ", errors="surrogatepass").replace(" ", "_")
    if name.strip(".") and len(name) <= 100:
        return name
    return name[:60].strip(".") + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def holds_group(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a directory of a group of states."""
    return (Path(path) / _GROUP).is_file()


def holds_states(path: Path) -> bool:
    """Whether ``path`` is a directory of saved states, of any version, which saving states there replaces."""
    for name, form in ((_MANIFEST, _FORMAT), (_GROUP, _GROUP_FORMAT)):
        try:
            if json.loads((path / name).read_bytes()).get("format") == form:
                return True
        except (OSError, ValueError, AttributeError):
            continue
    return False


def _read_document(file: Path, form: str, needed: set[str]) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(document, dict) or document.get("format") != form:
        raise ValueError(f"{file} is not the manifest of states (its format is not {form!r})")
    version = document.get("version")
    if version != _VERSION:
        older = isinstance(version, int) and version < _VERSION
        advice = "extract them again" if older else "it was written by a newer release: update coxlmm"
        raise ValueError(f"{file} has format version {version!r}, this release reads {_VERSION}: {advice}")
    missing = needed - set(document)
    if missing:
        raise ValueError(f"{file} is damaged: {', '.join(sorted(missing))} missing")
    return document


def _json(value: Any, indent: int | None = None) -> bytes:
    # File names that are no text reach Python as lone surrogates, whose JSON is their escape.
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
