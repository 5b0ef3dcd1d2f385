"""The samples of largest norm as concepts: the paper's baseline "Simple"."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coxlmm import _core
from coxlmm.estimators.sparse import SparseEstimator


class LargestNorm(SparseEstimator):
    r"""The samples of largest norm, scaled to unit length, with sparse, nonnegative activations: the baseline "Simple".

    The activations of a sample are those that :class:`SemiNMF` would find for these concept vectors: the minimisers of
    :math:`\|x - v U\|^2 + \mathtt{l1} \cdot \|v\|_1` over :math:`v \ge 0`.

    Parameters
    ----------
    n_components : int, default=20
        Number of concept vectors K. At most the number of samples of the fit that are not zero.
    l1 : float, default=1.0
        Weight of the sparsity penalty, as in :class:`SemiNMF`.
    random_state : int, RandomState instance or None, default=None
        Without effect, for nothing is drawn. It is here so that every estimator can be made in the same way.
    n_jobs : int or None, default=None
        Threads. ``None`` and -1 use every core that this process may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Samples of unit length, of the largest norm first; ties in the order of samples.
    sample_indices_ : ndarray of shape (n_components,)
        Rows of ``X`` that they are.
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where ``X`` had names that are all strings.

    References
    ----------
    Parekh, Khayatan, Shukor, Newson, Cord: A Concept-Based Explainability Framework for Large Multimodal Models,
    NeurIPS 2024, arXiv 2406.08074.
    """

    def __init__(
        self,
        n_components: int = 20,
        *,
        l1: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> NDArray[Any]:
        self.components_, self.sample_indices_ = _core.largest_norm(X, self.n_components, n_threads=self._n_threads())
        return self._encode(X)
