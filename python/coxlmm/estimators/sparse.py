"""Sparse, nonnegative activations of given concept vectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from coxlmm import _core
from coxlmm.estimators.base import ConceptEstimator

# Of the KKT residual, relative to the samples: below it codes are right to four digits and more.
_WORTH_A_WARNING = 1e-4


class SparseEstimator(ConceptEstimator):
    r"""Activations that minimise :math:`\|x - v U\|^2 + \mathtt{l1} \cdot \|v\|_1` over :math:`v \ge 0`."""

    l1: float

    def encoder(self) -> Callable[[ArrayLike], NDArray[Any]]:
        """A function that encodes samples one at a time, without what :meth:`transform` does anew at every call.

        What depends on ``components_`` and ``l1`` alone is computed here, once; what they become later does not matter
        to the function. It runs in one thread, may be called from several, and does not warn.

        Returns
        -------
        callable
            ``encode(x)``: the activations of one sample, of shape (n_features,), or of several, of shape (n_samples,
            n_features): what :meth:`transform` returns for samples of the precision of ``components_``, to which others
            are converted. It raises ``ValueError`` where :meth:`transform` does.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "components_")
        encoder = _core.SparseEncoder(self.components_, l1=self.l1)
        return lambda x: encoder.encode(x).codes

    def _encode(self, X: Any) -> NDArray[Any]:
        found = _core.sparse_encode(X, self.components_, l1=self.l1, n_threads=self._n_threads())
        if found.kkt_residual > _WORTH_A_WARNING:
            warnings.warn(
                f"The codes of some samples are not optimal: their KKT residual is {found.kkt_residual:.2g}. "
                "Nearly parallel components are the usual cause; fewer of them, or a larger l1, help.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return found.codes

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        self._require("l1", Real, 0)
        super()._check_parameters(n_samples, n_features)
