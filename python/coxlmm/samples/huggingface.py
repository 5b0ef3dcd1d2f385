"""Datasets of the ``datasets`` library."""

from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any

from coxlmm.samples.sample import Sample

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


class HFDataset:
    """The rows of a ``datasets.Dataset`` or, streamed, ``IterableDataset``.

    Only the columns named are read, and images are taken undecoded, so that a broken one is recorded like any other
    rather than ending the iteration; a dataset with a transform of its own (``set_transform``) is read as it is.
    It has a length where the dataset has one.

    Parameters
    ----------
    dataset : Dataset or IterableDataset
        One split.
    image : str
        The column of images: of the library's own kind, paths, bytes, or arrays.
    references : str, optional
        The column of reference captions: one or a list of them a row; a row with None has none that could have a word.
    id : str, optional
        The column of ids. Default: the row's position.

    Raises
    ------
    TypeError
        If there are several splits.
    ValueError
        If there is no such column.
    """

    def __new__(cls, dataset: "Dataset | IterableDataset", *_: Any, **__: Any) -> "HFDataset":
        # A class has a length or has none; what asks for one (isinstance(..., Sized)) shall be told the truth.
        return super().__new__(_WithLength if cls is HFDataset and isinstance(dataset, Sized) else cls)

    def __init__(
        self,
        dataset: "Dataset | IterableDataset",
        image: str = "image",
        references: str | None = None,
        id: str | None = None,
    ) -> None:
        if isinstance(dataset, dict):
            raise TypeError(f"a dataset must be one split, got several: choose one of {', '.join(map(repr, dataset))}")
        if (getattr(dataset, "format", None) or {}).get("type") != "custom":
            dataset = _undecoded(dataset, image, [column for column in (image, references, id) if column is not None])
        self._dataset = dataset
        self._image, self._references, self._id = image, references, id

    def __iter__(self) -> Iterator[Sample]:
        for row in self._dataset:
            captions = None
            if self._references is not None:
                captions = row[self._references]
                captions = () if captions is None else captions
            yield Sample(row[self._image], None if self._id is None else str(row[self._id]), captions)


class _WithLength(HFDataset):
    def __len__(self) -> int:
        return len(self._dataset)


def _undecoded(dataset: "Dataset | IterableDataset", image: str, columns: list[str]) -> "Dataset | IterableDataset":
    names = dataset.column_names  # None for a stream that does not say
    for column in columns if names is not None else ():
        if column not in names:
            raise ValueError(f"the dataset has no column {column!r}, only {', '.join(map(repr, names))}")
    dataset = dataset.select_columns(list(dict.fromkeys(columns))).with_format(None)
    feature = (dataset.features or {}).get(image)
    return dataset.cast_column(image, type(feature)(decode=False)) if getattr(feature, "decode", False) else dataset
