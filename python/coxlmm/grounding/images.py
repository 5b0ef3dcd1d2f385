"""Concepts -> the samples that activate them most, and where their images are."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from coxlmm import _core
from coxlmm.grounding.likeness import nearly_same, small_copy
from coxlmm.images import open_image
from coxlmm.samples import as_samples

ImageSource = Mapping[str, Any] | Sequence[Any] | Iterable[Any] | Callable[[str], Any] | str | os.PathLike[str] | None
THUMBNAIL_SIDE = 160  # pixels
BROWSED_SIDE = 96
# Times as many images as are wanted are looked at for such as differ.
_CANDIDATES = 4


@dataclass(frozen=True)
class ImageHit:
    """One of the samples that activate a concept most.

    Attributes
    ----------
    sample_id : str
    activation : float, positive
    caption : str
        What the model wrote about it.
    thumbnail : bytes or None
        The image as WebP, at most 160 pixels a side, where the image was given.
    heat : ndarray of float32, rows x columns, or None
        How much each part of the image has to do with the concept, 0 to 1, where the dictionary was localised. What
        that means depends on the method (``manifest["localisation"]``): what the states at the visual tokens have of
        the concept, what the parts add to its activation, or what it loses without them. See
        :mod:`coxlmm.localisation`.
    """

    sample_id: str
    activation: float
    caption: str
    thumbnail: bytes | None = field(default=None, repr=False)
    heat: np.ndarray | None = field(default=None, repr=False, compare=False)


def ground_images(
    codes: np.ndarray,
    sample_ids: Sequence[str],
    captions: Sequence[str],
    n_images: int = 8,
    images: ImageSource = None,
    *,
    diverse: bool = False,
) -> list[list[ImageHit]]:
    """The samples that activate each concept most, with their images where these can be had.

    Parameters
    ----------
    codes : ndarray, n_samples x n_components
    sample_ids, captions : sequences of str, n_samples
        Rows of one sample id, which states at every visual token have, are one sample: the row that activates the
        concept most stands for it.
    n_images : int
        Samples for each concept; fewer where fewer activate it at all.
    images : mapping, callable, sequence, iterable of samples, directory, or None
        Where the images are: a mapping or a callable from sample id to image; the sequence that the states were
        extracted from, when sample ids are the default ones (paths, or positions in it); the source of samples that
        they were extracted from (:mod:`coxlmm.samples`), which is gone through once; the directory in which sample
        ids are files. Paths that have moved are found by the file's name, when no two samples share it. Images are
        whatever :func:`coxlmm.images.open_image` opens. None: the sample ids that are paths of files are opened, others
        have no image.
    diverse : bool
        Whether to leave out images that are nearly the same as one of a larger activation: see
        :func:`coxlmm.grounding.likeness.small_copy`. What is left out makes room for the next, of the ``4 * n_images``
        that activate the concept most.

    Returns
    -------
    list of lists of ImageHit, n_components
        Most activating first, ties in the order of samples.

    Raises
    ------
    ValueError
        If ``n_images`` is less than 1, or an image cannot be read or is missing in ``images``.
    """
    return illustrate(codes, sample_ids, captions, n_images, images, diverse=diverse)[0]


def illustrate(
    codes: np.ndarray,
    sample_ids: Sequence[str],
    captions: Sequence[str],
    n_images: int,
    images: ImageSource,
    *,
    diverse: bool = False,
    n_thumbnails: int = 0,
) -> tuple[list[list[ImageHit]], dict[int, bytes]]:
    """What :func:`ground_images` finds, and small pictures of samples at large.

    Parameters
    ----------
    n_thumbnails : int
        Samples that are shown at large, at most, evenly spread over all in their order. Those without an image that
        can be had are left out.

    Returns
    -------
    hits : list of lists of ImageHit, n_components
    thumbnails : dict
        By the number of the sample (its first row), in order: WebP of at most 96 pixels a side.
    """
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1, got {n_images}")
    if n_thumbnails < 0:
        raise ValueError(f"n_thumbnails must be at least 0, got {n_thumbnails}")
    candidates = _candidates(codes, sample_ids, n_images * (_CANDIDATES if diverse else 1))
    firsts = list({name: row for row, name in reversed(list(enumerate(sample_ids)))}.values())[::-1]
    chosen = np.linspace(0, len(firsts) - 1, min(n_thumbnails, len(firsts))).round().astype(int)
    at_large = [firsts[i] for i in chosen]
    rows = {row for found in candidates for row, _ in found}
    find = image_finder(images, sample_ids, {sample_ids[row] for row in rows.union(at_large)})

    @cache
    def seen(name: str) -> tuple[bytes, np.ndarray] | None:
        image = find(name)
        if image is None:
            return None
        picture = open_image(image, name)
        return thumbnail(picture), small_copy(picture)

    def hits(found: list[tuple[int, float]]) -> Iterator[ImageHit]:
        shown: list[np.ndarray] = []
        for row, activation in found:
            picture = seen(sample_ids[row])
            if diverse and picture is not None:
                if any(nearly_same(picture[1], other) for other in shown):
                    continue
                shown.append(picture[1])
            yield ImageHit(sample_ids[row], activation, captions[row], None if picture is None else picture[0])

    return [list(islice(hits(found), n_images)) for found in candidates], _small(at_large, sample_ids, find)


def _candidates(codes: np.ndarray, sample_ids: Sequence[str], n: int) -> list[list[tuple[int, float]]]:
    """Of each concept the rows that activate it most, one a sample, with their activations."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(sample_ids))}
    rows = np.arange(len(codes))[:, None]
    if len(numbers) < len(codes):
        sample_of = np.array([numbers[name] for name in sample_ids])
        # Of the rows of a sample, a stable order by sample and then from the largest activation puts its best first.
        orders = [np.lexsort((-column, sample_of)) for column in codes.T]
        starts = np.flatnonzero(np.diff(np.sort(sample_of), prepend=-1))
        rows = np.stack([order[starts] for order in orders], axis=1)
        codes = np.take_along_axis(codes, rows, axis=0)
    rows = np.broadcast_to(rows, codes.shape)
    indices, activations = _core.max_activating(codes, min(n, len(codes)))
    return [
        [(int(rows[i, k]), value) for i, value in zip(of, values, strict=True) if value > 0]
        for k, (of, values) in enumerate(zip(indices.tolist(), activations.tolist(), strict=True))
    ]


def _small(rows: list[int], sample_ids: Sequence[str], find: Callable[[str], Any]) -> dict[int, bytes]:
    found = {}
    for row in rows:
        try:
            image = find(sample_ids[row])
            if image is not None:
                found[row] = thumbnail(open_image(image, sample_ids[row]), BROWSED_SIDE)
        except ValueError:  # missing or unreadable: nothing depends on one sample among many
            continue
    return found


def thumbnail(image: Any, side: int = THUMBNAIL_SIDE) -> bytes:
    """An image, of any kind that :func:`coxlmm.images.open_image` takes, as WebP of at most ``side`` pixels a side."""
    picture = open_image(image, 0)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, method=4)
    return buffer.getvalue()


def image_finder(images: ImageSource, sample_ids: Sequence[str], wanted: set[str]) -> Callable[[str], Any]:
    """What gives the image of a sample id, of those that are ``wanted``: see :func:`ground_images`."""
    if images is None:
        return lambda sample_id: sample_id if _is_file(sample_id) else None
    if isinstance(images, (str, os.PathLike)):
        directory = Path(images)
        if not directory.is_dir():
            raise ValueError(f"images must be found in a directory, and {str(directory)!r} is none")
        own = _own_names(sample_ids)

        def in_directory(sample_id: str) -> Path:
            # The ids of a shared dictionary are somebody else's: "../" must not lead out of the directory.
            path = Path(os.path.normpath(directory / sample_id))
            inside = path.is_relative_to(os.path.normpath(directory))
            if not (inside and _is_file(path)) and PurePath(sample_id).name in own:
                path, inside = directory / PurePath(sample_id).name, True
            return _named(sample_id, path, inside and _is_file(path), directory)

        return in_directory
    if isinstance(images, Mapping):
        return lambda sample_id: _named(sample_id, images.get(sample_id), sample_id in images, "the mapping")
    if callable(images):
        return images
    if not hasattr(images, "__getitem__"):
        # Gone through once, and no further than needed: it may be long, and is not held.
        passing = (sample for sample in as_samples(images) if sample.id in wanted)
        found = {sample.id: sample.image for sample in islice(passing, len(wanted))}
        return lambda sample_id: _named(sample_id, found.get(sample_id), sample_id in found, "the samples")
    return _in_sequence(images, sample_ids)


def _in_sequence(images: Sequence[Any], sample_ids: Sequence[str]) -> Callable[[str], Any]:
    n = len(images)
    # Only paths are looked through: to go through a sequence of anything else might open every image.
    paths = [os.fspath(image) for image in images] if n and isinstance(images[0], (str, os.PathLike)) else []
    own, names = _own_names(sample_ids), _own_names(paths)
    by_path = {path: path for path in paths}
    by_name = {PurePath(path).name: path for path in paths if PurePath(path).name in names}

    def at_position_or_path(sample_id: str) -> Any:
        if sample_id in by_path:
            return by_path[sample_id]
        if sample_id.isdecimal() and int(sample_id) < n:
            return images[int(sample_id)]
        name = PurePath(sample_id).name
        if name in own and name in by_name:
            return by_name[name]
        raise ValueError(
            f"images is a sequence of {n}, so sample ids must be positions in it or paths that it holds, but one is "
            f"{sample_id!r}: give a mapping or a callable from sample id to image"
        )

    return at_position_or_path


def _own_names(paths: Iterable[str]) -> set[str]:
    """The names of files that only one of ``paths`` has."""
    return {name for name, count in Counter(PurePath(path).name for path in paths).items() if count == 1}


def _named(sample_id: str, image: Any, present: bool, where: Any) -> Any:
    if not present:
        raise ValueError(f"there is no image of sample {sample_id!r} in {where}")
    return image


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or with a null character: a caption, not a path
        return False
