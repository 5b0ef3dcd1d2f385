"""An image with its name and its reference captions, and whatever is handed in as a stream of them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np

from coxlmm.images import as_images, sample_id

References = str | Sequence[str] | None


@dataclass(frozen=True)
class Sample:
    """An image to extract from.

    Parameters
    ----------
    image : path, PIL image, encoded bytes, array, or callable
        Whatever :func:`coxlmm.images.open_image` opens; a callable is called when its turn comes.
    id : str, optional
        Default: the path as given, the position in the input for what is no path.
    references : tuple of str, optional
        Reference captions, of which one must have the word. None: there are none to ask; an empty tuple: there are
        none that could have it.
    """

    image: Any
    id: str | None = None
    references: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "references", as_references(self.references, f"sample {self.id!r}"))


def as_references(references: References, owner: str) -> tuple[str, ...] | None:
    """One string or several as a tuple; TypeError, which names the ``owner``, for anything else."""
    if isinstance(references, str):
        return (references,)
    if references is None or (type(references) is tuple and all(type(r) is str for r in references)):
        return references
    if not isinstance(references, (list, tuple)) or not all(isinstance(r, str) for r in references):
        got = f"{references!r:.80}" if isinstance(references, (list, tuple)) else type(references).__name__
        raise TypeError(f"the reference of {owner} must be a string or a list of strings, got {got}")
    return tuple(map(str, references))


def as_samples(
    images: Iterable[Any],
    references: Iterable[References] | None = None,
    sample_ids: Iterable[Any] | None = None,
) -> Iterator[Sample]:
    """Every image as a :class:`Sample` with an id, one at a time.

    What can be known before the work is refused before it, when this is called: the rest when its turn comes. Nothing
    of a sample is held after it is yielded but 8 bytes, a hash of its id, by which a second one of that id is
    recognised (two of a million different ids are taken for one with a probability of 3e-8).

    Parameters
    ----------
    images : iterable of images or of Sample
    references : iterable of str, or of lists of str, optional
        What reference captions an image has, in order; only for images that are no Samples.
    sample_ids : iterable, optional
        One an image, in order, all different; only for images that are no Samples.

    Raises
    ------
    TypeError
        If ``images`` is one image, or the others one string; if an entry is of another type.
    ValueError
        If the inputs differ in length, two samples have the same id, or a Sample has an entry here as well.
    """
    images = as_images(images)
    columns = {"references": references, "sample_ids": sample_ids}
    for name, values in columns.items():
        if isinstance(values, str):
            raise TypeError(f"{name} must have one entry for each image, got the single string {values!r}")
        if isinstance(values, Sized) and isinstance(images, Sized) and len(values) != len(images):
            raise ValueError(f"{name} must have one entry for each of the {len(images)} images, got {len(values)}")
    known = sample_ids
    if known is None and isinstance(images, (list, tuple)):
        known = [_name(image, index) for index, image in enumerate(images)]
    if isinstance(known, (list, tuple)):
        names = Names()
        for name in known:
            names.add(str(name))
    return _samples(images, columns)


def _samples(images: Iterable[Any], columns: dict[str, Iterable[Any] | None]) -> Iterator[Sample]:
    names = Names()
    streams = [repeat(None) if values is None else chain(values, repeat(_END)) for values in columns.values()]
    for index, (image, *entries) in enumerate(zip(images, *streams, strict=False)):
        for column, entry in zip(columns, entries, strict=True):
            if entry is _END:
                raise ValueError(f"{column} ended after {index} entries, before the images did")
            if columns[column] is not None and isinstance(image, Sample):
                raise ValueError(f"image {index} is a Sample, which says itself what {column} would say")
        references, name = entries
        if columns["references"] is not None and references is None:
            raise TypeError(f"the reference of image {index} must be a string or a list of strings, got None")
        name = _name(image, index) if name is None else str(name)
        if isinstance(image, Sample):
            image, references = image.image, image.references
        names.add(name)
        yield Sample(image, name, as_references(references, f"image {index}"))


_END = object()


def _name(image: Any, index: int) -> str:
    if isinstance(image, Sample):
        return sample_id(image.image, index) if image.id is None else str(image.id)
    return sample_id(image, index)


def hash_of(name: str) -> int:
    """64 bits that a name has whenever and wherever it is asked, and that tell nothing of it: as good as drawn."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:8], "big")


class Names:
    """The ids there have been, at 8 bytes each however long they are."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = np.empty(0, np.uint64)

    def add(self, name: str) -> None:
        """Raises ValueError if there has been one of this name."""
        digest = hash_of(name)
        place = int(np.searchsorted(self._sorted, np.uint64(digest)))
        if digest in self._recent or (place < len(self._sorted) and int(self._sorted[place]) == digest):
            raise ValueError(f"two images have the sample id {name!r}: give each its own (sample_ids=...)")
        self._recent.add(digest)
        # To insert one into an array moves half of it, so they are sorted in by the thousand.
        if len(self._recent) >= max(1024, len(self._sorted) // 16):
            self._sorted = np.union1d(self._sorted, np.fromiter(self._recent, np.uint64, len(self._recent)))
            self._recent.clear()
