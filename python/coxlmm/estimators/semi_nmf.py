"""Semi-NMF: signed concept vectors, nonnegative activations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from coxlmm import _core

INITS = ("kmeans++", "samples", "random")


class SemiNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Semi-nonnegative matrix factorization with sparse, nonnegative activations.

    Finds ``n_components`` concept vectors :math:`u_k` (rows of ``components_``, signed, :math:`\|u_k\|_2 \le 1`) and
    activations :math:`V \ge 0` that minimise

    .. math:: \|X - V U\|_F^2 + \mathtt{l1} \cdot \|V\|_1 .

    The activations of unseen samples are the minimisers of the same objective for the fitted ``components_``.

    Parameters
    ----------
    n_components : int, default=20
        Number of concept vectors K. At most the number of samples of the fit.
    l1 : float, default=1.0
        Weight of the sparsity penalty: the :math:`\lambda` of the paper, whose objective has the **whole** square.
        scikit-learn, SPAMS and the paper's published code minimise half of the square, so their ``alpha`` is
        ``l1 / 2``: give ``l1=2 * alpha`` for the same problem (the published code's ``alpha=1`` is ``l1=2``).
    init : {"kmeans++", "samples", "random"} or ndarray of shape (n_components, n_features), default="kmeans++"
        Start of the concept vectors: samples spread out as k-means++ does, samples drawn uniformly, random directions,
        or the given vectors (a warm start; those of norm above 1 are scaled to 1).
    n_init : int, default=8
        Starts to try. They compete on a sketch of the data (few samples, few directions), which costs little, and the
        winner is fitted to all of it. The problem is not convex: one start alone ends in a worse minimum about one time
        in three. Ignored when ``init`` is an array.
    max_iter : int, default=200
        Most iterations. Reaching it is no error: see ``stop_reason_``.
    tol : float, default=1e-5
        Converged when the last five iterations lowered the objective by at most this share of it each, on average.
    random_state : int, RandomState instance or None, default=None
        Seeds the start. An int gives the same bits in every fit, whatever ``n_jobs`` is.
    n_jobs : int or None, default=None
        Threads. ``None`` and -1 use every core that this process may use. The result does not depend on it.
    callback : callable or None, default=None
        ``callback(iteration: int, objective: float) -> bool | None``, called in the calling thread after every
        iteration (1, 2, ...); returning ``False`` ends the fit with what has been found. What it raises, ``fit``
        raises.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Concept vectors, in the dtype of the fit.
    objective_ : float
        The objective above at the end of the fit.
    reconstruction_err_ : float
        Frobenius norm of the residual, :math:`\|X - V U\|_F`, at the end of the fit.
    history_ : ndarray of shape (n_iter_ + 1,)
        The objective at the start and after every iteration.
    n_iter_ : int
        Iterations that lowered the objective. Each reads the data once or twice.
    stop_reason_ : {"converged", "max_iter", "callback"}
        Why the fit ended.
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where ``X`` had names that are all strings.

    Notes
    -----
    ``float32`` and ``float64`` are computed in their own precision and read where they lie, in C or Fortran order or
    strided; ``float16`` is computed in ``float32`` and everything else in ``float64``, both from a copy.

    References
    ----------
    Parekh, Khayatan, Shukor, Newson, Cord: A Concept-Based Explainability Framework for Large Multimodal Models,
    NeurIPS 2024, arXiv 2406.08074.

    Ding, Li, Jordan: Convex and Semi-Nonnegative Matrix Factorizations, IEEE TPAMI 32(1), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from coxlmm import SemiNMF
    >>> X = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    >>> model = SemiNMF(n_components=8, l1=0.5, random_state=0)
    >>> codes = model.fit_transform(X)
    >>> codes.shape, model.components_.shape, codes.min() >= 0
    ((200, 8), (8, 64), np.True_)
    """

    def __init__(
        self,
        n_components: int = 20,
        *,
        l1: float = 1.0,
        init: str | ArrayLike = "kmeans++",
        n_init: int = 8,
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        callback: Callable[[int, float], bool | None] | None = None,
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

    def fit(self, X: ArrayLike, y: object = None) -> SemiNMF:
        """Learn the concept vectors of ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples in rows, of any sign.
        y : ignored

        Returns
        -------
        SemiNMF
            The estimator itself.

        Raises
        ------
        ValueError
            If ``X`` is not a finite two-dimensional array, has fewer samples than ``n_components``, or a parameter is
            out of its domain.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[Any]:
        """Learn the concept vectors of ``X`` and return its activations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples in rows, of any sign.
        y : ignored

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Activations, nonnegative: the minimisers of the objective for the returned ``components_``.

        Raises
        ------
        ValueError
            As ``fit`` does.
        """
        X = self._validate(X, reset=True)
        self._check_parameters(n_samples=X.shape[0])
        result = _core.semi_nmf(
            X,
            self.n_components,
            l1=self.l1,
            init=self.init if isinstance(self.init, str) else np.asarray(self.init),
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            n_threads=self._n_threads(),
            callback=self.callback,
        )
        self.components_ = result.dictionary
        self.objective_ = result.objective
        self.reconstruction_err_ = result.squared_error**0.5
        self.history_ = result.history
        self.n_iter_ = result.n_iter
        self.stop_reason_ = result.stop
        return result.codes

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Activations of samples, seen or unseen, for the fitted concept vectors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples in rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            For each sample x the minimiser over v >= 0 of ``||x - v @ components_||^2 + l1 * sum(v)``, up to a
            projected gradient of ``2e-6 * ||x||``. It depends on that sample alone.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the codes of some sample are further than that from optimal.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If ``X`` is not a finite two-dimensional array with ``n_features_in_`` columns.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        found = _core.sparse_encode(X, self.components_, l1=self.l1, n_threads=self._n_threads())
        if found.stop != "converged":
            warnings.warn(
                f"The codes of some samples are not optimal: their KKT residual is {found.kkt_residual:.2g}. "
                "Nearly parallel components are the usual cause; fewer of them, or a larger l1, help.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return found.codes

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Samples that the given activations stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Activations.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            ``X @ components_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If ``X`` is not a finite two-dimensional array with ``n_components`` columns.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if X.shape[1] != self.components_.shape[0]:
            raise ValueError(
                f"X has {X.shape[1]} columns, but SemiNMF has {self.components_.shape[0]} components: "
                "give activations as transform returns them."
            )
        return X @ self.components_

    def _validate(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        half = getattr(X, "dtype", None) == np.float16
        return validate_data(self, X, reset=reset, dtype=np.float32 if half else [np.float64, np.float32])

    def _n_threads(self) -> int:
        return effective_n_jobs(-1 if self.n_jobs is None else self.n_jobs)

    def _check_parameters(self, n_samples: int) -> None:
        for name, kind, lowest in (
            ("n_components", Integral, 1),
            ("l1", Real, 0),
            ("n_init", Integral, 1),
            ("max_iter", Integral, 1),
            ("tol", Real, 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} must be {_NOUNS[kind]}; got {value!r} of type {type(value).__name__}.")
            if not lowest <= value < np.inf:
                raise ValueError(f"{name} must be finite and at least {lowest}; got {value!r}.")
        if isinstance(self.init, str) and self.init not in INITS:
            raise ValueError(f"init must be one of {', '.join(map(repr, INITS))} or an array; got {self.init!r}.")
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be callable or None; got {self.callback!r}.")
        if self.n_components > n_samples:
            raise ValueError(
                f"n_components={self.n_components} exceeds n_samples={n_samples}: "
                "ask for fewer components or give more samples."
            )

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


_NOUNS = {Integral: "an integer", Real: "a number"}
