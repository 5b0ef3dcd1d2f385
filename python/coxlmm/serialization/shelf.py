"""Where a saved dictionary's arrays and images lie, which its JSON only names."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_IMAGE_NAME = re.compile(r"images/[0-9]{1,9}\.webp")
_SNAPSHOTS = "snapshots"  # of the hub's cache: what lies there are links to the files of ../../blobs


class Shelf:
    """Arrays by name, images by file name, and the names of what nothing here has a place for.

    Parameters
    ----------
    directory : path, optional
        Where images are read from.
    tensors : mapping of ndarray
    """

    def __init__(self, directory: Path | None = None, tensors: Mapping[str, np.ndarray] | None = None) -> None:
        self.tensors: dict[str, np.ndarray] = dict(tensors or {})
        self.files: dict[str, bytes] = {}
        self.unknown: set[str] = set(self.tensors)
        self._directory = directory
        self._names: dict[bytes, str] = {}  # by content: sample ids may be anything, even the same for two images

    def array(self, name: str) -> np.ndarray | None:
        """The array of that name, if there is one."""
        self.unknown.discard(name)
        return self.tensors.get(name)

    def add_image(self, data: bytes) -> str:
        """The name of its file; equal images share one."""
        name = self._names.setdefault(data, f"images/{len(self._names):05d}.webp")
        self.files[name] = data
        return name

    def image(self, name: str) -> bytes:
        """The image of that file name. A dictionary of somebody else must not make its reader read other files."""
        if self._directory is None or not _IMAGE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a file of its images")
        if name not in self.files:
            root = self._directory.parents[1] if self._directory.parent.name == _SNAPSHOTS else self._directory
            file = Path(os.path.realpath(self._directory / name))
            if not file.is_relative_to(os.path.realpath(root)):
                raise ValueError(f"{name!r} is not a file of its images")
            self.files[name] = file.read_bytes()
        return self.files[name]
