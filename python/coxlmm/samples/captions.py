"""Files that name images and their captions."""

import json
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from coxlmm.samples.sample import Sample, as_references

_EXPECTED = '{"file_name": "...", "caption": "..."}'
_IMAGE, _CAPTIONS = ("file_name", "image", "path"), ("captions", "caption", "references", "text")


class JsonLines:
    """Images named by lines of JSON: ``{"file_name": "1.jpg", "caption": "a dog"}``.

    Parameters
    ----------
    path : path
        UTF-8; a line holds an object with the image's path in "file_name", "image" or "path", and, where there are
        reference captions, one or a list of them in "caption", "captions", "references" or "text". Its id is "id", or
        else the path as given. Neighbouring lines of one image are one sample with all their captions.
    images : path, optional
        The directory that the paths are relative to. Default: the file's own.

    Raises
    ------
    FileNotFoundError
        If there is no such file or directory. Images that are not there are not missed before they are opened.
    ValueError
        While iterating, if a line is something else; the message has its number.
    """

    def __init__(self, path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> None:
        self.path = _existing(path)
        self.images = _directory(images, self.path)
        self._length: int | None = None

    def __iter__(self) -> Iterator[Sample]:
        for _, group in groupby(self._lines(), key=lambda sample: (sample.id, sample.image)):
            lines = list(group)
            captions = [sample.references for sample in lines if sample.references is not None]
            yield Sample(lines[0].image, lines[0].id, tuple(c for some in captions for c in some) if captions else None)

    def __len__(self) -> int:
        """Reads the file once."""
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length

    def _lines(self) -> Iterator[Sample]:
        for line in _lines(self.path):
            yield Sample(os.path.join(self.images, line.name), line.id, line.captions)


class CocoCaptions:
    """The images and captions of a file in the format of COCO: ``{"images": [...], "annotations": [...]}``.

    An image's id is its "file_name", its references are the captions of all annotations with its id. They come in the
    order of "images". What the file says is held, since JSON can only be read as a whole.

    Parameters
    ----------
    path : path
    images : path, optional
        The directory that the file names are relative to. Default: the file's own.

    Raises
    ------
    FileNotFoundError
        If there is no such file or directory. Images that are not there are not missed before they are opened.
    ValueError
        If the file is something else.
    """

    def __init__(self, path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> None:
        self.path = _existing(path)
        self.images = _directory(images, self.path)
        try:
            content = json.loads(self.path.read_bytes())
            captions: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
            for annotation in content["annotations"]:
                if annotation["image_id"] in captions:
                    captions[annotation["image_id"]].append(annotation["caption"])
            self._samples = [
                (image["file_name"], as_references(captions[image["id"]], repr(image["file_name"])))
                for image in content["images"]
            ]
            if not all(isinstance(name, str) for name, _ in self._samples):
                raise TypeError("a file name is no string")
        except (ValueError, KeyError, TypeError) as error:
            what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(
                f'{self.path} is not in the format of COCO captions, {{"images": [{{"id": ..., "file_name": ...}}], '
                f'"annotations": [{{"image_id": ..., "caption": ...}}]}}: {what}'
            ) from error

    def __iter__(self) -> Iterator[Sample]:
        for name, captions in self._samples:
            yield Sample(os.path.join(self.images, name), name, captions)

    def __len__(self) -> int:
        return len(self._samples)


def captions_by_name(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """The captions that a file of one of these kinds has, by the paths of the images as it gives them.

    Raises
    ------
    FileNotFoundError, ValueError
        As :class:`JsonLines` and :class:`CocoCaptions`; and if a line has no caption.
    """
    if os.fspath(path).lower().endswith(".json"):
        return {sample.id: sample.references for sample in CocoCaptions(path)}
    captions: dict[str, tuple[str, ...]] = {}
    for line in _lines(_existing(path)):
        if line.captions is None:
            raise ValueError(f"{line.where}: expected {_EXPECTED}, got no caption of {line.name!r}")
        captions[line.name] = captions.get(line.name, ()) + line.captions
    return captions


class _Line(NamedTuple):
    where: str
    name: str
    id: str
    captions: tuple[str, ...] | None


def _lines(path: Path) -> Iterator[_Line]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _read_line(line, f"{path}, line {number}")


def _read_line(line: bytes, where: str) -> _Line:
    shown = repr(line[:100].decode(errors="replace").rstrip())
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: expected {_EXPECTED}, got what is no JSON ({error}): {shown}") from error
    name = _first(entry, _IMAGE) if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"{where}: expected {_EXPECTED}, got {shown}")
    given = entry.get("id", name)
    if not isinstance(given, (str, int)):
        raise ValueError(f"{where}: an id must be a string or an integer, got {given!r}")
    try:
        return _Line(where, name, str(given), as_references(captions_of(entry), repr(name)))
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def captions_of(entry: dict[str, Any]) -> Any:
    """What an object of JSON has for reference captions, as it stands there; None where it has none."""
    return _first(entry, _CAPTIONS)


def _first(entry: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((entry[key] for key in keys if key in entry), None)


def _existing(path: str | os.PathLike[str]) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    return Path(path)


def _directory(images: str | os.PathLike[str] | None, file: Path) -> Path:
    if images is None:
        return file.parent
    if not Path(images).is_dir():
        raise FileNotFoundError(f"there is no directory {os.fspath(images)}")
    return Path(images)
