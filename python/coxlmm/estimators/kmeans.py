"""k-means: centers of clusters as concepts, closeness as activation."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coxlmm import _core
from coxlmm.estimators.base import ConceptEstimator

INITS = ("kmeans++",)


class KMeans(ConceptEstimator):
    r"""Centers of clusters as concept vectors, with activations that fall with the distance.

    The concept vectors minimise the sum of squared distances of the samples, each to its nearest center. The activation
    of a sample x by the center c is :math:`1 / (1 + \|x - c\|_2)`, as in the published code of the paper: positive for
    every center, 1 at the center itself. Activations are no coefficients of a sum; they stand for the nearest center,
    the one of the largest activation, which is what ``inverse_transform`` returns.

    Parameters
    ----------
    n_components : int, default=20
        Number of clusters K. At most the number of samples of the fit.
    init : "kmeans++" or ndarray of shape (n_components, n_features), default="kmeans++"
        Start of the centers: samples spread out by k-means++, or the given ones.
    n_init : int, default=10
        Starts to try; they compete in the leading directions of ``X`` where it has many features, and the best is
        kept. Ignored when ``init`` is an array.
    max_iter : int, default=300
        Most iterations. Reaching it is no error: see ``stop_reason_``.
    tol : float, default=1e-4
        Converged when the centers moved, in squared length, by at most this share of the mean variance of the
        features; with 0, when no sample changes its cluster any more.
    random_state : int, RandomState instance or None, default=None
        Seeds the starts. An int gives the same bits in every fit, whatever ``n_jobs`` is.
    n_jobs : int or None, default=None
        Threads. ``None`` and -1 use every core that this process may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Centers.
    labels_ : ndarray of shape (n_samples,)
        Row of the nearest center, for every sample of the fit.
    inertia_ : float
        Sum of the squared distances of the samples to their nearest centers.
    n_iter_ : int
        Iterations from the start that was kept.
    stop_reason_ : {"converged", "max_iter"}
        Why it ended.
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where ``X`` had names that are all strings.

    Notes
    -----
    Not scikit-learn's, which copies the samples, runs every start on all features, and does not take 16-bit floats,
    tensors or blocks.

    References
    ----------
    Arthur, Vassilvitskii: k-means++: The Advantages of Careful Seeding, SODA 2007.
    """

    def __init__(
        self,
        n_components: int = 20,
        *,
        init: str | ArrayLike = "kmeans++",
        n_init: int = 10,
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> NDArray[Any]:
        found = _core.kmeans(
            X,
            self.n_components,
            init=self.init,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            seed=self._seed(),
            n_threads=self._n_threads(),
        )
        self.components_ = found.centers
        self.labels_ = found.labels
        self.inertia_ = found.inertia
        self.n_iter_ = found.n_iter
        self.stop_reason_ = found.stop
        return self._encode(X)

    def _encode(self, X: Any) -> NDArray[Any]:
        return _core.kmeans_activations(X, self.components_, n_threads=self._n_threads())

    def _decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        decoded = self.components_[codes.argmax(axis=1)]
        decoded[~codes.any(axis=1)] = 0  # of no concept at all
        return decoded

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        self._require("n_init", Integral, 1)
        self._require("max_iter", Integral, 1)
        self._require("tol", Real, 0)
        self._require_init(INITS)
        super()._check_parameters(n_samples, n_features)
