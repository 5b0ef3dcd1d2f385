"""Files and directories that are found whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
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
def replaced_directory(path: str | os.PathLike[str], replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """A new directory to write into, which takes the place of ``path`` when the block ends without an exception.

    Parameters
    ----------
    path : path
    replaceable : callable
        Whether the directory at ``path``, if there is one, may be replaced. An empty directory always may.

    Raises
    ------
    FileExistsError
        If ``path`` is something that may not be replaced.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or replaceable(path))):
        raise FileExistsError(f"{path} exists and holds something else: refusing to replace it; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging, old = _staging(path), _staging(path)
    staging.mkdir()
    try:
        yield staging
        if path.exists():
            os.rename(path, old)
        try:
            os.rename(staging, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def _staging(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
