"""What all estimators of concepts share: the contract, and the checks of what is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from coxlmm.estimators.samples import is_for_core_alone, require_samples


class ConceptEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A decomposition of samples into concepts: vectors, the rows of ``components_``, and activations of each sample.

    Subclasses learn in :meth:`_fit` and encode in :meth:`_encode`; both are given samples that have been checked.
    """

    n_components: int
    n_jobs: int | None

    def fit(self, X: ArrayLike, y: object = None) -> Any:
        """Learn the concept vectors of ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or RowBlocks
            Samples in rows. numpy arrays, tensors of torch and whatever else has the DLPack protocol, of ``float32``,
            ``float64``, ``float16`` or ``bfloat16``, are read where they lie, in C or Fortran order or strided, and so
            are the blocks of a :class:`coxlmm.RowBlocks`, such as memory-mapped files. ``float64`` is computed in
            ``float64``, the others in ``float32``; anything else is copied to ``float64``. Results are numpy arrays.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``X`` is not a finite two-dimensional array, has fewer samples than ``n_components``, or a parameter is
            out of its domain.
        TypeError
            If a parameter is of the wrong type, or ``X`` is in the memory of another device: nothing is moved unasked.
        """
        self._fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[Any]:
        """Learn the concept vectors of ``X`` and return its activations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or RowBlocks
            Samples in rows, as :meth:`fit` takes them.
        y : ignored

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            What :meth:`transform` returns for ``X``.

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit` does.
        """
        return self._fit_transform(X)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Activations of samples, seen or unseen, for the fitted concept vectors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or RowBlocks
            Samples in rows, as :meth:`fit` takes them.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            See the description of the class. The activations of a sample depend on that sample alone.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If ``X`` is not a finite two-dimensional array with ``n_features_in_`` columns.
        TypeError
            If ``X`` is in the memory of another device.
        """
        check_is_fitted(self, "components_")
        X = self._validate(X, reset=False)
        with said_as_scikit_learn_does():
            return self._encode(X)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Samples that the given activations stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Activations.

        Returns
        -------
        ndarray of shape (n_samples, n_features)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If ``X`` is not a finite two-dimensional array with ``n_components`` columns.
        """
        check_is_fitted(self, "components_")
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if X.shape[1] != self.components_.shape[0]:
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__} has {self.components_.shape[0]} components: "
                "give activations as transform returns them."
            )
        return self._decode(X)

    @abstractmethod
    def _fit(self, X: Any) -> NDArray[Any]:
        """Learns ``components_`` and the rest, and returns the activations of ``X``."""

    @abstractmethod
    def _encode(self, X: Any) -> NDArray[Any]:
        """Activations of ``X``."""

    def _decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        return codes @ self.components_

    def _check_parameters(self, n_samples: int, n_features: int) -> None:
        """Refuses parameters out of their domain."""
        self._require("n_components", Integral, 1)
        if self.n_components > n_samples:
            raise ValueError(
                f"n_components={self.n_components} exceeds n_samples={n_samples}: "
                "ask for fewer components or give more samples."
            )

    def _require(self, name: str, kind: type, lowest: float) -> None:
        value = getattr(self, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{name} must be {_NOUNS[kind]}; got {value!r} of type {type(value).__name__}.")
        if not lowest <= value < np.inf:
            raise ValueError(f"{name} must be finite and at least {lowest}; got {value!r}.")

    def _require_init(self, names: tuple[str, ...]) -> None:
        if isinstance(self.init, str) and self.init not in names:
            raise ValueError(f"init must be one of {', '.join(map(repr, names))} or an array; got {self.init!r}.")

    def _fit_transform(self, X: ArrayLike) -> NDArray[Any]:
        X = self._validate(X, reset=True)
        self._check_parameters(*X.shape)
        with said_as_scikit_learn_does():
            return self._fit(X)

    def _validate(self, X: ArrayLike, *, reset: bool) -> Any:
        # The compiled core looks for NaN and infinity itself, where it reads X anyway, and names row and column.
        if not is_for_core_alone(X):
            return (
                X
                if self._is_in_order(X, reset)
                else validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
            )
        require_samples(X)
        return validate_data(self, X, reset=reset, skip_check_array=True)

    def _is_in_order(self, X: ArrayLike, reset: bool) -> bool:
        """Whether scikit-learn's checks, which take longer than it takes to encode a sample, would change nothing."""
        return (
            not reset
            and type(X) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and X.shape[0] >= 1
            and X.shape[1] == self.n_features_in_
            and not hasattr(self, "feature_names_in_")
        )

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _n_threads(self) -> int:
        # 0: the core counts the processors that this process may use. joblib takes longer than to encode a sample.
        return 0 if self.n_jobs in (None, -1) else effective_n_jobs(self.n_jobs)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@contextmanager
def said_as_scikit_learn_does() -> Iterator[None]:
    # Whoever looks for scikit-learn's words in the message of an estimator (its own checks do) shall find them.
    try:
        yield
    except ValueError as error:
        message = str(error)
        if "the value nan at" in message:
            raise ValueError(message.replace("the value nan at", "the value NaN at")) from None
        if "NMF needs values of at least 0" in message:
            raise ValueError(f"Negative values in data passed to NMF: {message}") from None
        raise


_NOUNS = {Integral: "an integer", Real: "a number"}
