"""What activations stand for, and by how much that differs from the states."""

from typing import Any

import numpy as np

from coxlmm.estimators import KMeans

# Rows of the residual that are held at a time.
ROWS_AT_A_TIME = 1024


def require_parts(estimator: Any, codes: np.ndarray) -> None:
    """Refuses estimators whose codes are no coefficients of their components: all measures here take them for such."""
    if isinstance(estimator, KMeans) or not hasattr(estimator, "inverse_transform"):
        return
    some = codes[:16]
    own, expected = np.asarray(estimator.inverse_transform(some)), decoded(some, estimator)
    if own.shape != expected.shape or not np.allclose(own, expected, rtol=1e-3, atol=1e-3 * np.abs(own).max()):
        raise ValueError(
            f"the inverse_transform of {type(estimator).__name__} is not codes @ components_, plus mean_ if there is "
            f"one: use an estimator whose samples are sums of concepts, such as SemiNMF"
        )


def decoded(codes: np.ndarray, estimator: Any) -> np.ndarray:
    """The samples that codes stand for."""
    if isinstance(estimator, KMeans):
        return estimator.inverse_transform(codes)
    mean = getattr(estimator, "mean_", None)
    return codes @ estimator.components_ + (0 if mean is None else mean)


def measured_errors(X: np.ndarray, codes: np.ndarray, estimator: Any) -> tuple[float, np.ndarray]:
    """The squared error of what codes stand for and its increase without each concept, over the squared norm of X."""
    without = _nearest_without if isinstance(estimator, KMeans) else _sum_without
    total = squared = 0.0
    increase = np.zeros(codes.shape[1])
    for start in range(0, len(X), ROWS_AT_A_TIME):
        x, v = X[start : start + ROWS_AT_A_TIME], codes[start : start + ROWS_AT_A_TIME].astype(np.float64)
        residual = x - decoded(v, estimator).astype(np.float64)
        total += _squared_norm(x)
        squared += _squared_norm(residual)
        increase += without(x, v, residual, estimator)
    return (squared / total, increase / total) if total else (0.0, increase)


def _sum_without(x: np.ndarray, v: np.ndarray, residual: np.ndarray, estimator: Any) -> np.ndarray:
    # ||R + v_k u_k||^2 - ||R||^2 = 2 v_k^T R u_k + ||v_k||^2 ||u_k||^2
    U = np.asarray(estimator.components_)
    lengths = np.einsum("kd,kd->k", U, U, dtype=np.float64)
    return 2 * np.einsum("mk,mk->k", v, residual @ U.T) + np.einsum("mk,mk->k", v, v) * lengths


def _nearest_without(x: np.ndarray, v: np.ndarray, residual: np.ndarray, estimator: Any) -> np.ndarray:
    # Without its nearest center a sample goes to the next; without any other, nothing changes for it.
    nearest = v.argmax(axis=1)
    rest = v.copy()
    rest[np.arange(len(v)), nearest] = 0
    moved = x - decoded(rest, estimator).astype(np.float64)
    more = np.einsum("md,md->m", moved, moved) - np.einsum("md,md->m", residual, residual)
    return np.bincount(nearest, weights=more, minlength=v.shape[1])


def _squared_norm(a: np.ndarray) -> float:
    return float(np.einsum("md,md->", a, a, dtype=np.float64))
