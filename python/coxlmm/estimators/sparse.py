"""Sparse, nonnegative activations of given concept vectors."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from coxlmm import _core
from coxlmm.estimators.base import ConceptEstimator


class SparseEstimator(ConceptEstimator):
    r"""Activations that minimise :math:`\|x - v U\|^2 + \mathtt{l1} \cdot \|v\|_1` over :math:`v \ge 0`."""

    l1: float

    def _encode(self, X: Any) -> NDArray[Any]:
        found = _core.sparse_encode(X, self.components_, l1=self.l1, n_threads=self._n_threads())
        if found.stop != "converged":
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
