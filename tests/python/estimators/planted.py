"""Data and checks that the estimator tests share."""

import numpy as np


def planted(n_samples, n_features, n_components, *, seed, noise=0.05, dtype=np.float64):
    """Sparse nonnegative combinations of signed unit vectors, with noise."""
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((n_components, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = rng.exponential(2.0, (n_samples, n_components)) * (rng.random((n_samples, n_components)) < 0.3)
    return (codes @ atoms + noise * rng.standard_normal((n_samples, n_features))).astype(dtype)


def objective(X, codes, components, l1):
    """The objective as the documentation writes it, in double."""
    X, codes, components = (np.asarray(a, np.float64) for a in (X, codes, components))
    return np.sum((X - codes @ components) ** 2) + l1 * np.abs(codes).sum()


def kkt_residual(X, codes, components, l1):
    """Largest violation of optimality of nonnegative lasso codes, over ``2 ||x||``.

    The gradient must be 0 where a code is positive, and must not point downhill where it is 0.
    """
    X, codes, components = (np.asarray(a, np.float64) for a in (X, codes, components))
    gradient = 2 * (codes @ components - X) @ components.T + l1
    violation = np.where(codes > 0, np.abs(gradient), np.maximum(-gradient, 0))
    return np.max(violation / (2 * np.linalg.norm(X, axis=1, keepdims=True)))
