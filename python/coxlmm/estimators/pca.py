"""PCA: directions of largest variance, signed activations."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coxlmm import _core
from coxlmm.estimators.base import ConceptEstimator
from coxlmm.estimators.samples import coordinates

SOLVERS = ("auto", "full", "randomized")


class PCA(ConceptEstimator):
    r"""Principal components of the samples, with signed activations.

    The concept vectors :math:`u_k` are the orthonormal directions of largest variance; the activations of a sample x
    are its coordinates :math:`(x - \mu) \cdot u_k`, of either sign, where :math:`\mu` is the mean of the fit. A sample
    is approximated by ``mean_ + codes @ components_``. The sign of each component, which nothing else determines, makes
    its entry of largest absolute value positive.

    Parameters
    ----------
    n_components : int, default=20
        Number of concept vectors K. At most the number of samples of the fit, and of features.
    solver : {"auto", "full", "randomized"}, default="auto"
        "full" decomposes exactly; "randomized" within a random subspace that power iterations turn towards the leading
        directions; "auto" chooses the cheaper one that is accurate enough.
    n_power_iterations : int, default=3
        For "randomized": more make it more accurate where the variances decay slowly. Each reads the data once.
    random_state : int, RandomState instance or None, default=None
        Seeds the random subspace. An int gives the same bits in every fit, whatever ``n_jobs`` is.
    n_jobs : int or None, default=None
        Threads. ``None`` and -1 use every core that this process may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Orthonormal, of the largest variance first.
    mean_ : ndarray of shape (n_features,)
        Mean of the samples of the fit.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of the activations over the samples of the fit, with ``n_samples - 1`` in the denominator.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same, divided by the variance of the samples.
    singular_values_ : ndarray of shape (n_components,)
        Norms of the activations over the samples of the fit.
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where ``X`` had names that are all strings.

    Notes
    -----
    Not scikit-learn's, which copies the samples and does not take 16-bit floats, tensors or blocks.

    References
    ----------
    Halko, Martinsson, Tropp: Finding Structure with Randomness, SIAM Review 53(2), 2011.

    Musco, Musco: Randomized Block Krylov Methods for Stronger and Faster Approximate Singular Value Decomposition,
    NeurIPS 2015.
    """

    def __init__(
        self,
        n_components: int = 20,
        *,
        solver: str = "auto",
        n_power_iterations: int = 3,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.solver = solver
        self.n_power_iterations = n_power_iterations
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> NDArray[Any]:
        found = _core.pca(
            X,
            self.n_components,
            solver=self.solver,
            n_power_iterations=self.n_power_iterations,
            seed=self._seed(),
            n_threads=self._n_threads(),
        )
        self.components_ = found.components
        self.mean_ = found.mean
        self.explained_variance_ = found.explained_variance
        self.explained_variance_ratio_ = found.explained_variance_ratio
        self.singular_values_ = found.singular_values
        return found.scores

    def _encode(self, X: Any) -> NDArray[Any]:
        return coordinates(X, self.mean_, self.components_)

    def _decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        return codes @ self.components_ + self.mean_

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        self._require("n_power_iterations", Integral, 0)
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}; got {self.solver!r}.")
        super()._check_parameters(n_samples, n_features)
        if self.n_components > n_features:
            raise ValueError(f"n_components={self.n_components} exceeds n_features={n_features}: ask for fewer.")
