"""Another decomposition, where the directions of small variance count for more."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from coxlmm.estimators.base import ConceptEstimator
from coxlmm.estimators.kmeans import KMeans
from coxlmm.estimators.nmf import NMF
from coxlmm.estimators.pca import PCA
from coxlmm.estimators.samples import coordinates
from coxlmm.estimators.semi_nmf import SemiNMF


class Whitened(ConceptEstimator):
    r"""Decomposes how samples differ from their mean, after their directions of small variance have been enlarged.

    States of a model are dominated by a mean that they share and by a few directions of large variance, and a
    decomposition that minimises the squared error spends its concepts there. Here the samples are centred and
    described by their first principal components, each divided by its standard deviation to the ``power``:

    .. math:: t_j = (x - \mu) \cdot v_j \, \lambda_j^{-\text{power}/2} / c

    with :math:`c` such that the mean of :math:`\|t\|^2` over the samples of the fit is 1, and ``estimator`` decomposes
    these. Its activations are those of this estimator, nonnegative where it is :class:`SemiNMF`. Its concepts are
    carried back into the space of the samples, where ``mean_ + codes @ components_`` approximates them: the mean is an
    atom of its own, which every sample has once. No labels are used.

    Parameters
    ----------
    estimator : ConceptEstimator, default=SemiNMF(l1=0.03)
        What decomposes the whitened samples: one whose samples are sums of concepts and nothing else (no
        :class:`KMeans`, no :class:`PCA`), of either sign (no :class:`NMF`). Its ``l1`` is in the unit of samples whose
        root mean square norm is 1. It is cloned, not fitted itself.
    n_directions : int or None, default=None
        How many principal components are kept. None: as many as the estimator has components, if there are so many.
        With more, noise is enlarged too.
    power : float between 0 and 1, default=0.5
        0 only centres and leaves the small directions out; 1 gives all directions that are kept the same variance.
    random_state : int, RandomState instance or None, default=None
        Seeds the search for the principal components and the estimator, whatever its own ``random_state`` is. None
        takes the estimator's own for both.
    n_jobs : int or None, default=None
        Threads for the principal components. ``None`` and -1 use every core that this process may use.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Concepts as differences from the mean, in the unit of the samples. What ``estimator`` bounds by 1 is their
        length in the whitened space, not here.
    mean_ : ndarray of shape (n_features,)
    directions_ : ndarray of shape (n_directions, n_features)
        Orthonormal, of the largest variance first.
    scales_ : ndarray of shape (n_directions,)
        What coordinates along them are divided by.
    estimator_ : ConceptEstimator
        The fitted clone.
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where ``X`` had names that are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from coxlmm.estimators import SemiNMF, Whitened
    >>> X = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    >>> model = Whitened(SemiNMF(n_components=8, l1=0.03, random_state=0), power=0.5, random_state=0)
    >>> codes = model.fit_transform(X)
    >>> codes.shape, model.components_.shape, codes.min() >= 0
    ((200, 8), (8, 64), np.True_)
    """

    def __init__(
        self,
        estimator: ConceptEstimator | None = None,
        *,
        n_directions: int | None = None,
        power: float = 0.5,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_directions = n_directions
        self.power = power
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> NDArray[Any]:
        n_samples, n_features = X.shape
        # n centred samples span n - 1 directions.
        possible = max(1, min(n_samples - 1, n_features))
        inner = clone(self._inner())
        n_directions = min(inner.n_components, possible) if self.n_directions is None else self.n_directions
        own = getattr(inner, "random_state", None)
        seed = self._seed() if self.random_state is not None else own
        pca = PCA(n_directions, random_state=seed, n_jobs=self.n_jobs)
        scores = pca.fit_transform(X)
        variance = np.square(scores, dtype=np.float64).mean(axis=0)
        if not variance[0] > 0:
            raise ValueError(f"the {n_samples} samples are all alike: they have no differences to decompose")
        # A direction without variance has nothing to enlarge but rounding.
        relative = np.maximum(variance / variance[0], np.finfo(scores.dtype).eps)
        scales = relative ** (self.power / 2)
        scales *= np.sqrt((variance / scales**2).sum())
        self.directions_ = pca.components_
        self.mean_ = pca.mean_
        self.scales_ = scales.astype(scores.dtype)
        if hasattr(inner, "random_state"):
            inner.random_state = seed
        self.estimator_ = inner
        codes = self.estimator_.fit_transform(scores / self.scales_)
        self.components_ = (self.estimator_.components_ * self.scales_) @ self.directions_
        return codes

    def _encode(self, X: Any) -> NDArray[Any]:
        return self.estimator_.transform(coordinates(X, self.mean_, self.directions_) / self.scales_)

    def _decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        return codes @ self.components_ + self.mean_

    def _inner(self) -> ConceptEstimator:
        return self.default_estimator() if self.estimator is None else self.estimator

    @staticmethod
    def default_estimator() -> SemiNMF:
        """What decomposes whitened samples where no estimator is given."""
        return SemiNMF(l1=0.03)

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        inner = self._inner()
        if not isinstance(inner, ConceptEstimator) or isinstance(inner, (KMeans, NMF, PCA, Whitened)):
            raise TypeError(
                "estimator must be one whose samples are sums of concepts and nothing else, such as SemiNMF; got "
                f"{inner!r}."
            )
        self._require("power", Real, 0)
        if self.power > 1:
            raise ValueError(f"power must be between 0 and 1; got {self.power!r}.")
        inner._check_parameters(n_samples, n_features)
        if self.n_directions is not None:
            self._require("n_directions", Integral, 1)
            if self.n_directions > min(n_samples, n_features):
                raise ValueError(
                    f"n_directions={self.n_directions} exceeds n_samples={n_samples} or n_features={n_features}: "
                    "ask for fewer."
                )
