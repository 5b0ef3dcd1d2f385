"""What an extraction has done so far, so that it can go on where it was stopped."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from coxlmm.atomic import write_file
from coxlmm.errors import CoxlmmError

_RUN = "run.json"
_FORMAT = "coxlmm.extraction"
_VERSION = 1


class ChangedRunError(CoxlmmError, ValueError):
    """An unfinished extraction was of other samples, of another model or with other settings than this one."""


@dataclass
class Part:
    """What came of one window of samples.

    Attributes
    ----------
    record : dict
        JSON values: what was captioned, matched and unreadable.
    tensors : dict of arrays
        The states.
    """

    record: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)


class Journal:
    """The parts of one extraction, in memory.

    Also what :class:`JournalOnDisk` keeps to: parts are numbered in the order of the samples and written once.
    """

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}

    def record(self, number: int) -> dict[str, Any] | None:
        """What a part says of its samples; None where it is not there yet."""
        part = self._parts.get(number)
        return None if part is None else part.record

    def tensors(self, number: int, names: list[str]) -> list[np.ndarray]:
        """Some of a part's arrays."""
        return [self._parts[number].tensors[name] for name in names]

    def write(self, number: int, part: Part) -> None:
        self._parts[number] = part

    def staging(self) -> Path | None:
        """Where to build what will be moved into its place, on the same file system; None when nothing will."""
        return None

    def discard(self) -> None:
        self._parts.clear()


class JournalOnDisk(Journal):
    """The parts of one extraction, a file each, in a directory beside the place that the states will have.

    A file is written under another name, synced and renamed: it is there whole or not at all. Processes share one
    directory, since no two of them write the same part.

    Parameters
    ----------
    directory : Path
    run : dict
        JSON values that parts of one extraction have in common: settings, model, versions.

    Raises
    ------
    ChangedRunError
        If there are parts of an extraction with another ``run``; the message says what differs.
    """

    def __init__(self, directory: Path, run: dict[str, Any]) -> None:
        self._directory = directory
        document = {"format": _FORMAT, "version": _VERSION, "run": json.loads(json.dumps(run))}
        file = directory / _RUN
        if file.exists():
            self._refuse_change(json.loads(file.read_text("utf-8")), document)
        elif directory.exists() and any(directory.glob("part-*")):
            raise ChangedRunError(f"{directory} has parts of an extraction without {_RUN}: remove that directory")
        else:
            write_file(file, json.dumps(document, indent=1).encode() + b"\n")

    def record(self, number: int) -> dict[str, Any] | None:
        try:
            with safe_open(self._file(number), "numpy") as file:
                return json.loads(file.metadata()["record"])
        except (FileNotFoundError, SafetensorError):  # absent, or lost to a power cut: to be done
            return None

    def tensors(self, number: int, names: list[str]) -> list[np.ndarray]:
        with safe_open(self._file(number), "numpy") as file:
            return [file.get_tensor(name) for name in names]

    def write(self, number: int, part: Part) -> None:
        metadata = {"record": json.dumps(part.record)}
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in part.tensors.items()}
        write_file(self._file(number), save(tensors, metadata))

    def staging(self) -> Path:
        staging = self._directory / "states"
        shutil.rmtree(staging, ignore_errors=True)
        return staging

    def discard(self) -> None:
        """Removes everything at once: interrupted, it leaves no half of a journal under the journal's name."""
        discard(self._directory)

    def _file(self, number: int) -> Path:
        return self._directory / f"part-{number:06d}.safetensors"

    def _refuse_change(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        if found == wanted:
            return
        before, now = found.get("run"), wanted["run"]
        if {found.get("format"), found.get("version")} != {_FORMAT, _VERSION} or not isinstance(before, dict):
            changes = [f"its format ({found.get('format')!r}, version {found.get('version')!r})"]
        else:
            names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            changes = [f"{name} (was {before.get(name)!r}, now {now.get(name)!r})" for name in names]
        raise ChangedRunError(
            f"the unfinished extraction in {self._directory} differs from this one in {'; '.join(changes)}: extract as "
            f"before to go on with it, extract to another place, or start anew with resume=False (--no-resume)"
        )


def discard(directory: Path) -> None:
    """Removes a journal, and what an interruption left of removing one."""
    gone = directory.with_name(f".{directory.name}.discarded")
    shutil.rmtree(gone, ignore_errors=True)
    if directory.exists():
        os.rename(directory, gone)
        shutil.rmtree(gone, ignore_errors=True)


def digest(value: Any) -> str:
    """A short name for a JSON value, the same whenever and wherever it is made."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=True, sort_keys=True).encode()).hexdigest()[:16]
