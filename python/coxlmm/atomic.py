"""Files and directories that are found whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Writes ``data`` beside ``path`` and renames it there; parent directories are made."""
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = _staging(path)
    try:
        with open(staging, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    return path


@contextmanager
def replaced_directory(
    path: str | os.PathLike[str], replaceable: Callable[[Path], bool], staging: Path | None = None
) -> Iterator[Path]:
    """A new directory to write into, which takes the place of ``path`` when the block ends without an exception.

    It is synced, then renamed: interrupted at any moment, nothing half-written is ever found at ``path``. What stood
    there is renamed away first, so an interruption exactly between the two renames leaves it at :func:`set_aside`.
    A link at ``path`` stays; the directory that it points to is replaced.

    Parameters
    ----------
    path : path
    replaceable : callable
        Whether the directory at ``path``, if there is one, may be replaced. An empty directory always may.
    staging : Path, optional
        Where to write until then, on the same file system. Default: beside ``path``.

    Raises
    ------
    FileExistsError
        If ``path`` is something that may not be replaced.
    """
    path = Path(os.path.realpath(path))
    ensure_replaceable(path, replaceable)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging, old = staging or _staging(path), set_aside(path)
    staging.mkdir()
    try:
        yield staging
        for written in staging.rglob("*"):
            _sync(written)
        _sync(staging)
        if path.exists():
            if old.exists():
                shutil.rmtree(old)
            os.rename(path, old)
        try:
            os.rename(staging, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise
        _sync(path.parent)
        # The new one is in its place: what is left of the old one is no failure, and the next save takes it away.
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def ensure_replaceable(path: str | os.PathLike[str], replaceable: Callable[[Path], bool]) -> None:
    """Raises FileExistsError if :func:`replaced_directory` would refuse ``path``: to be asked before long work."""
    path = Path(path)
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or replaceable(path))):
        raise FileExistsError(f"{path} exists and holds something else: refusing to replace it; choose another path")


def ensure_present(path: str | os.PathLike[str], files: Iterable[str], what: str) -> Path:
    """The directory ``path``, absolute, in which all of ``files`` lie.

    Raises
    ------
    FileNotFoundError
        If there is no such directory or file; the message says where an interrupted save left the previous one.
    """
    path = Path(os.path.abspath(path))
    old = set_aside(Path(os.path.realpath(path)))
    if not path.exists() and old.exists():
        raise FileNotFoundError(
            f"no {what} at {path}: a save was interrupted while replacing what was there; the previous one is intact "
            f"in {old}, rename that directory back"
        )
    if not path.exists():
        raise FileNotFoundError(f"no {what} at {path}: there is no such directory")
    for name in files:
        if not (path / name).is_file():
            raise FileNotFoundError(f"no {what} at {path}: {name} is missing")
    return path


def set_aside(path: Path) -> Path:
    """Where what stood at ``path`` lies while it is being replaced."""
    return path.parent / f".{path.name}.replaced"


def _staging(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
