"""A directory of images."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from coxlmm.samples.captions import captions_by_name
from coxlmm.samples.sample import Sample

# Pillow knows these by name alone: to open them it needs another program or library.
_WITHOUT_DECODER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


def image_suffixes() -> set[str]:
    """The suffixes of files that Pillow opens, in small letters: ".jpg", ..."""
    return {
        suffix
        for suffix, format in Image.registered_extensions().items()
        if format in Image.OPEN and format not in _WITHOUT_DECODER
    }


class ImageFolder:
    """The images in a directory and below, in the order of their paths.

    Left out are hidden files and directories (".name"), and directories that are links.
    An image's id is its path below the directory, with slashes. The directory is gone through anew each time, and once
    more for its length; no list of its files is held.

    Parameters
    ----------
    path : path
    references : path, optional
        The images' reference captions, as :class:`JsonLines` or :class:`CocoCaptions` reads them: those are held.

    Raises
    ------
    FileNotFoundError
        If there is no such directory, or no image in it.
    ValueError
        If an image has no caption in ``references``, or these cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], references: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self._length: int | None = None
        self._captions: dict[str, tuple[str, ...]] | None = None
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no directory {self.path}")
        if next(self._names(), None) is None:
            raise FileNotFoundError(f"there are no images ({' '.join(sorted(image_suffixes()))}) in {self.path}")
        if references is not None:
            self._captions = captions_by_name(references)
            missing = [name for name in self._names() if name not in self._captions]
            if missing:
                raise ValueError(
                    f"{os.fspath(references)} has no caption for {len(missing)} of {len(self)} images, {missing[0]!r} "
                    f"among them"
                )

    def __iter__(self) -> Iterator[Sample]:
        for name in self._names():
            captions = None if self._captions is None else self._captions.get(name, ())
            yield Sample(os.path.join(self.path, name), name, captions)

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self._names())
        return self._length

    def _names(self) -> Iterator[str]:
        yield from _walk(self.path, "", image_suffixes())


def _walk(directory: str | os.PathLike[str], prefix: str, suffixes: set[str]) -> Iterator[str]:
    with os.scandir(directory) as entries:
        shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in shown:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/", suffixes)
        elif os.path.splitext(entry.name)[1].lower() in suffixes and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name
