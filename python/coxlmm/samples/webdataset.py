"""Tar archives whose neighbouring files of one name are a sample, and what reads them."""

import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from coxlmm.samples.captions import captions_of
from coxlmm.samples.folder import image_suffixes
from coxlmm.samples.sample import Sample, as_references


class WebDataset:
    """Samples as the ``webdataset`` library lays them out, one at a time.

    Neighbouring files that differ in nothing but what follows the first dot of their names are one sample: its image,
    and, where there are any, its reference captions in a file ".txt" (one), or else in a file ".json" ("captions",
    "caption", "references" or "text"). Of a sample without an image it is recorded that there is none.

    Parameters
    ----------
    source : path, list of paths, or iterable of dictionaries
        Tar archives ("shards", compressed or not), read from front to back without being unpacked; an id is the
        archive's name and the sample's path in it, "00000.tar/000012". Or dictionaries ("__key__", which is the id,
        "jpg", "txt", ...) as the library itself yields them, decoded or not.
    image : str, optional
        What follows the dot in the name of the image. Default: whatever Pillow opens.

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    OSError
        While iterating, if an archive cannot be read; the message names it.
    ValueError
        While iterating, if a sample has several images, or captions that are none.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Iterable[Mapping[str, Any]],
        image: str | None = None,
    ) -> None:
        if isinstance(source, (str, os.PathLike)):
            source = [source]
        self._shards: list[Path] | None = None
        self._dictionaries: Iterable[Mapping[str, Any]] = ()
        if isinstance(source, (list, tuple)) and all(isinstance(entry, (str, os.PathLike)) for entry in source):
            self._shards = [Path(shard) for shard in source]
            for shard in self._shards:
                if not shard.is_file():
                    raise FileNotFoundError(f"there is no file {shard}")
        else:
            self._dictionaries = source
        self._image = image

    def __iter__(self) -> Iterator[Sample]:
        if self._shards is None:
            for entry in self._dictionaries:
                if not isinstance(entry, Mapping) or "__key__" not in entry:
                    raise ValueError(f'expected a dictionary with "__key__", got {entry!r:.100}')
                key = str(entry["__key__"])
                yield self._sample(key, {str(name): entry[name] for name in entry if name != "__key__"})
            return
        for shard in self._shards:
            for key, files in groupby(_files(shard), key=lambda file: file[0]):
                yield self._sample(f"{shard.name}/{key}", {extension: content for _, extension, content in files})

    def _sample(self, name: str, files: dict[str, Any]) -> Sample:
        wanted = {self._image} if self._image is not None else image_suffixes()
        images = [key for key in files if (key if self._image is not None else _suffix(key)) in wanted]
        if len(images) > 1:
            raise ValueError(
                f"sample {name!r} has several images: choose one of {', '.join(map(repr, images))} (image=...)"
            )
        try:
            captions = as_references(_captions(files), f"sample {name!r}")
        except (ValueError, TypeError) as error:
            raise ValueError(f"the captions of sample {name!r} cannot be read: {error}") from error
        return Sample(files[images[0]] if images else None, name, captions)


def _suffix(extension: str) -> str:
    return "." + extension.rpartition(".")[2].lower()


def _captions(files: dict[str, Any]) -> str | list[str] | None:
    if "txt" in files:
        text = files["txt"]
        return text if isinstance(text, str) else bytes(text).decode("utf-8").strip()
    if "json" in files:
        entry = files["json"]
        return captions_of(entry if isinstance(entry, dict) else json.loads(entry))
    return None


def _files(shard: Path) -> Iterator[tuple[str, str, bytes]]:
    """The key, the extension and the content of each file."""
    try:
        with tarfile.open(shard, "r|*", tarinfo=_Member) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # where it would remember every file there was
                directory, name = os.path.split(member.name.removeprefix("./"))
                stem, dot, extension = name.partition(".")
                content = archive.extractfile(member) if member.isreg() and stem and dot else None
                if content is not None:
                    yield os.path.join(directory, stem), extension, content.read()
    except tarfile.TarError as error:
        raise OSError(f"cannot read {shard}: {error}") from error


class _Member(tarfile.TarInfo):
    """A file of an archive that ends where it says so: tarfile takes one cut off, or damaged, for shorter."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it is cut off or damaged at byte {archive.offset} ({error})") from error
