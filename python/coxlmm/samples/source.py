"""Samples from wherever a path leads."""

import glob
import os

from coxlmm.samples.captions import CocoCaptions, JsonLines
from coxlmm.samples.folder import ImageFolder
from coxlmm.samples.webdataset import WebDataset

Source = ImageFolder | JsonLines | CocoCaptions | WebDataset

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_KINDS = "a directory of images, a file .jsonl or .json (COCO captions), or archives .tar"


def open_source(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    references: str | os.PathLike[str] | None = None,
) -> Source:
    """What ``path`` holds, by its name: see :class:`ImageFolder`, :class:`JsonLines`, ... for how.

    Parameters
    ----------
    path : path
        A directory of images; a file .jsonl, or .json in the format of COCO captions; an archive .tar; or a pattern of
        archives ("shards/*.tar").
    images : path, optional
        Where the images are that a file .jsonl or .json names. Default: beside it.
    references : path, optional
        Reference captions (.jsonl, .json) of the images in a directory.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``, or no image in the directory.
    ValueError
        If it is something else, or another argument is not for its kind.
    """
    name = os.fspath(path)
    low = name.lower()
    if references is not None and not os.path.isdir(name):
        if not os.path.exists(name):
            raise FileNotFoundError(f"there is no directory {name}")
        raise ValueError(f"references are for a directory of images, and {name} is none: put them into the file itself")
    if images is not None and (os.path.isdir(name) or not low.endswith((".jsonl", ".json"))):
        raise ValueError(
            f"a directory of images ({os.fspath(images)}) is for a file .jsonl or .json, which {name} is not"
        )
    if os.path.isdir(name):
        return ImageFolder(name, references)
    if low.endswith(".jsonl"):
        return JsonLines(name, images)
    if low.endswith(".json"):
        return CocoCaptions(name, images)
    if low.endswith(_ARCHIVES):
        shards = [name] if os.path.exists(name) or not glob.has_magic(name) else sorted(glob.glob(name))
        if not shards:
            raise FileNotFoundError(f"no file matches {name}")
        return WebDataset(shards)
    if os.path.exists(name):
        raise ValueError(f"expected {_KINDS}, got {name}")
    raise FileNotFoundError(f"there is no directory {name}; expected {_KINDS}")
