"""Fits of concept vectors and sparse, nonnegative activations at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coxlmm.estimators.sparse import SparseEstimator

INITS = ("kmeans++", "samples", "svd", "random")


class ProcessGroup(Protocol):
    """Processes that each hold some of the samples and fit them together.

    Each calls ``fit`` with its own samples, at least as many as concepts, and the same parameters; ``random_state``
    must be an int. All find the same concept vectors; activations are those of the process's own samples. Where one of
    them raises, the others wait in ``sum``: give the transport a time limit.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and of processes.
    """

    rank: int
    size: int

    def sum(self, values: NDArray[np.float64]) -> None:
        """Replaces ``values``, one-dimensional, by their sums over all processes: the same bits in each.

        They are in memory of the compiled core, which is gone afterwards: keep a copy, not the array.
        """


class Factorization(SparseEstimator):
    """An estimator that alternates between activations and concept vectors from several starts."""

    def __init__(
        self,
        n_components: int = 20,
        *,
        l1: float = 1.0,
        init: str | ArrayLike = "kmeans++",
        n_init: int = 8,
        max_iter: int = 500,
        tol: float = 1e-6,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        callback: Callable[[int, float], bool | None] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callback = callback
        self.process_group = process_group

    def _fit(self, X: Any) -> NDArray[Any]:
        result = self._factorize(X, self.n_components, **self._options(), process_group=self.process_group)
        self.components_ = result.dictionary
        self.objective_ = result.objective
        self.reconstruction_err_ = result.squared_error**0.5
        self.history_ = result.history
        self.n_iter_ = result.n_iter
        self.stop_reason_ = result.stop
        return result.codes

    def _options(self) -> dict[str, Any]:
        return {
            "l1": self.l1,
            "init": self.init,
            "n_init": self.n_init,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "seed": self._seed(),
            "n_threads": self._n_threads(),
            "callback": self.callback,
        }

    @abstractmethod
    def _factorize(self, X: Any, n_components: int, **options: Any) -> Any:
        """Calls the compiled core."""

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        self._require("n_init", Integral, 1)
        self._require("max_iter", Integral, 1)
        self._require("tol", Real, 0)
        self._require_init(INITS)
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be callable or None; got {self.callback!r}.")
        super()._check_parameters(n_samples, n_features)
