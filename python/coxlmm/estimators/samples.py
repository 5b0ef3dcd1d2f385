"""Samples that scikit-learn's checks would copy, convert or refuse, and the compiled core reads where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coxlmm.row_blocks import RowBlocks

_ROWS = 64  # in a tile: little beside any matrix worth streaming, and enough for a matrix product


def is_for_core_alone(X: Any) -> bool:
    """Whether ``X`` is a :class:`coxlmm.RowBlocks`, an array of 16-bit floats, or a tensor of another library."""
    if isinstance(X, np.ndarray):
        return X.dtype == np.float16 or _is_bfloat16(X.dtype)
    return isinstance(X, RowBlocks) or hasattr(X, "__dlpack__")


def require_samples(X: Any) -> None:
    """Refuses what is no matrix with rows and columns."""
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise ValueError(f"X must be n_samples x n_features, of 2 dimensions; got {len(shape)} with shape {shape}")
    if 0 in shape:
        raise ValueError(f"X of shape {shape} is empty: at least 1 sample and 1 feature are needed")


def finite_tiles(X: Any) -> Iterator[NDArray[Any]]:
    """The rows of ``X`` in order, some at a time, as arrays of the precision in which the compiled core computes.

    For sums that the compiled core does not do. Refuses NaN and infinity as it does, with row and column.
    """
    before = 0
    for block in X.blocks if isinstance(X, RowBlocks) else (X,):
        for start in range(0, block.shape[0], _ROWS):
            tile = _as_float(block[start : start + _ROWS])
            finite = np.isfinite(tile)
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                raise ValueError(
                    f"X has the value {tile[row, column]} at row {before + start + row}, column {column}: "
                    "remove or replace samples that are not finite"
                )
            yield tile
        before += block.shape[0]


def coordinates(X: Any, mean: NDArray[Any], directions: NDArray[Any]) -> NDArray[Any]:
    """``(X - mean) @ directions.T``, some rows at a time, in the precision of ``X``."""
    # The mean comes off first: in single precision, a large one would swallow the differences between the products.
    return np.concatenate([
        (tile - mean.astype(tile.dtype)) @ directions.T.astype(tile.dtype) for tile in finite_tiles(X)
    ])  # fmt: skip


def _as_float(tile: Any) -> NDArray[Any]:
    if hasattr(tile, "detach"):  # a tensor of torch: numpy does not know its bfloat16
        tile = tile.detach()
        tile = tile if tile.dtype.itemsize > 2 else tile.float()
    tile = np.asarray(tile)
    if tile.dtype.names:
        return (tile["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return tile if tile.dtype in (np.float32, np.float64) else tile.astype(np.float32 if tile.itemsize == 2 else float)


def _is_bfloat16(dtype: np.dtype) -> bool:
    return dtype.name == "bfloat16" or dtype.names == ("bfloat16",)
