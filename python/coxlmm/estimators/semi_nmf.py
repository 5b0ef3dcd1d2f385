"""Semi-NMF: signed concept vectors, nonnegative activations."""

from __future__ import annotations

from typing import Any

from coxlmm import _core
from coxlmm.estimators.factorization import Factorization


class SemiNMF(Factorization):
    r"""Semi-nonnegative matrix factorization with sparse, nonnegative activations.

    Finds ``n_components`` concept vectors :math:`u_k` (rows of ``components_``, signed, :math:`\|u_k\|_2 \le 1`) and
    activations :math:`V \ge 0` that minimise

    .. math:: \|X - V U\|_F^2 + \mathtt{l1} \cdot \|V\|_1 .

    The activations of unseen samples are the minimisers of the same objective for the fitted ``components_``, up to a
    projected gradient of ``2e-6 * ||x||``; where they are further from optimal, ``transform`` warns with a
    ``ConvergenceWarning``.

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

    def _factorize(self, X: Any, n_components: int, **options: Any) -> Any:
        return _core.semi_nmf(X, n_components, **options)
