"""A matrix whose rows lie in several arrays: shards on disk that need not fit into memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open

_DTYPES = ("float32", "float64", "float16", "bfloat16")
_SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class RowBlocks:
    """One matrix made of blocks of rows, each where it is: nothing is read and nothing is copied.

    Estimators take it as they take one array, and read a tile at a time; what they learn is what they learn from the
    blocks stacked, to the bit.

    Parameters
    ----------
    blocks : sequence of arrays, each of shape (some rows, n_features)
        numpy arrays (memory-mapped ones for example) or what has the DLPack protocol, as torch tensors have; all of one
        dtype: float32, float64, float16 or bfloat16.

    Attributes
    ----------
    blocks : tuple of arrays
    shape : tuple of int
        (n_samples, n_features) of all blocks together.
    dtype : dtype
        The blocks' own, as they call it.

    Raises
    ------
    TypeError
        If a block is no array, or of another dtype than these.
    ValueError
        If there are no blocks, or one has other than two dimensions, another width or another dtype than the first. The
        message names the block.

    Examples
    --------
    >>> import numpy as np
    >>> from coxlmm import RowBlocks
    >>> RowBlocks([np.zeros((3, 8), np.float16), np.ones((2, 8), np.float16)])
    RowBlocks(2 blocks, 5 x 8, float16)
    """

    def __init__(self, blocks: Iterable[Any]) -> None:
        self.blocks = tuple(blocks)
        if not self.blocks:
            raise ValueError("blocks is empty: give at least one array")
        for i, block in enumerate(self.blocks):
            if not hasattr(block, "shape") or not hasattr(block, "dtype"):
                raise TypeError(f"block {i} must be an array or a tensor; got a {type(block).__name__}")
            if len(block.shape) != 2:
                raise ValueError(f"block {i} must have 2 dimensions; got shape {tuple(block.shape)}")
            if _name(block.dtype) not in _DTYPES:
                raise TypeError(f"block {i} must be of {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}; got {block.dtype}")
            first = self.blocks[0]
            if block.shape[1] != first.shape[1]:
                raise ValueError(
                    f"block {i} has shape {tuple(block.shape)}, but block 0 has {first.shape[1]} columns: "
                    "all blocks need the same features"
                )
            if _name(block.dtype) != _name(first.dtype):
                raise ValueError(f"block {i} is of {block.dtype}, but block 0 of {first.dtype}: convert one of them")

    @classmethod
    def from_safetensors(cls, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], key: str) -> RowBlocks:
        """The tensor ``key`` of each file, memory-mapped: a file is read when, and where, a computation reads it.

        Parameters
        ----------
        paths : path or iterable of paths
            Safetensors files in the order of the rows; a directory, such as one of saved states, stands for those in it
            in the order of their names. They must stay as they are while the result is in use. Tensors
            that do not start at a multiple of their element's size (those of the library's own writer do) are copied
            where they are computed with.
        key : str
            Name of the tensor, the same in every file.

        Returns
        -------
        RowBlocks
            Of numpy arrays that cannot be written to. bfloat16 is the dtype of the package ``ml_dtypes`` where that is
            installed, and otherwise a record dtype with the one field ``"bfloat16"``, which holds the 16 bits.

        Raises
        ------
        FileNotFoundError
            If a file is not there, or a directory has none.
        ValueError
            If one is damaged or no safetensors file, has no such tensor, or the tensors do not fit together.
        TypeError
            If a tensor is not of float32, float64, float16 or bfloat16.
        """
        files = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        return cls(_mapped(name, key) for file in files for name in _files(os.fspath(file)))

    @property
    def shape(self) -> tuple[int, int]:
        return sum(int(block.shape[0]) for block in self.blocks), int(self.blocks[0].shape[1])

    @property
    def dtype(self) -> Any:
        return self.blocks[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"RowBlocks({len(self.blocks)} blocks, {rows} x {cols}, {_name(self.dtype)})"

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self!r} is not one array in memory, and is not made one unasked: stack its .blocks for that")


def _name(dtype: Any) -> str:
    """``torch.float16`` and numpy's ``float16`` have one name; another byte order has another."""
    if getattr(dtype, "names", None) == ("bfloat16",):
        return "bfloat16"
    return str(dtype).removeprefix("torch.")


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    found = sorted(name for name in os.listdir(path) if name.endswith(".safetensors"))
    if not found:
        raise FileNotFoundError(f"there are no safetensors files in {path}")
    return [os.path.join(path, name) for name in found]


def _mapped(path: str, key: str) -> np.ndarray:
    try:
        with safe_open(path, framework="np") as file:  # checks the header, and that the file is as long as it says
            keys = list(file.keys())
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    if key not in keys:
        raise ValueError(f"{path} has no tensor {key!r}; it has {', '.join(map(repr, sorted(keys)))}")
    # The library has no view of a mapped file for numpy. Where a tensor lies is said by the header, whose form is fixed
    # (its length in 8 bytes, then JSON with offsets that count from its end).
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(length))[key]
    shape = tuple(entry["shape"])
    stored = entry["dtype"]
    if stored != "BF16" and stored not in _SAFETENSORS_DTYPES:
        raise TypeError(f"{path}: {key!r} must be of F32, F64, F16 or BF16; got {stored}")
    dtype = _bfloat16() if stored == "BF16" else np.dtype(_SAFETENSORS_DTYPES[stored])
    if 0 in shape:  # there is nothing to map
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=8 + length + entry["data_offsets"][0], shape=shape)


def _bfloat16() -> np.dtype:
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return np.dtype([("bfloat16", "<u2")])
    return np.dtype(bfloat16)
