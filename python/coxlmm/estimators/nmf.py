"""NMF: nonnegative concept vectors, nonnegative activations."""

from __future__ import annotations

from typing import Any

from coxlmm import _core
from coxlmm.estimators.factorization import Factorization


class NMF(Factorization):
    r"""Nonnegative matrix factorization with sparse, nonnegative activations.

    Minimises the objective of :class:`SemiNMF`,

    .. math:: \|X - V U\|_F^2 + \mathtt{l1} \cdot \|V\|_1 ,

    over activations :math:`V \ge 0` and concept vectors (rows :math:`u_k` of ``components_``) that are nonnegative too,
    with :math:`\|u_k\|_2 \le 1`; the samples must be nonnegative. Activations of unseen samples are found as
    :class:`SemiNMF` does.

    Parameters
    ----------
    n_components : int, default=20
        Number of concept vectors K. At most the number of samples of the fit.
    l1 : float, default=1.0
        Weight of the sparsity penalty: the :math:`\lambda` of the paper, whose objective has the **whole** square.
        scikit-learn, SPAMS and the paper's published code minimise half of the square, so their ``alpha`` is
        ``l1 / 2``: give ``l1=2 * alpha`` for the same problem (the published code's ``alpha=1`` is ``l1=2``).
    init : {"kmeans++", "samples", "svd", "random"} or array of shape (n_components, n_features), default="kmeans++"
        Start of the concept vectors: samples spread out as k-means++ does, samples drawn uniformly, singular directions
        of the samples, random directions, or the given vectors (a warm start; those of norm above 1 are scaled to 1).
    n_init : int, default=8
        Starts to try. They compete on some of the samples, with all their features, and the winner is fitted to all of
        them. The problem is not convex: one start alone often ends in a worse minimum. Ignored when
        ``init`` is an array or "svd".
    max_iter : int, default=500
        Most iterations. Reaching it is no error: see ``stop_reason_``.
    tol : float, default=1e-6
        Converged when the last five iterations lowered the objective by at most this share of it each, on average.
    random_state : int, RandomState instance or None, default=None
        Seeds the start. An int gives the same bits in every fit, whatever ``n_jobs`` is.
    n_jobs : int or None, default=None
        Threads. ``None`` and -1 use every core that this process may use. The result does not depend on it.
    callback : callable or None, default=None
        ``callback(iteration: int, objective: float) -> bool | None``, called in the calling thread after every
        iteration (1, 2, ...); returning ``False`` ends the fit with what has been found. What it raises, ``fit``
        raises.
    process_group : ProcessGroup or None, default=None
        Processes that fit their samples together: :class:`coxlmm.distributed.TorchProcessGroup`, or whatever else is a
        :class:`coxlmm.estimators.factorization.ProcessGroup`.

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
    Not scikit-learn's, which penalises the concept vectors where this bounds their length, and does not take 16-bit
    floats, tensors or blocks.

    References
    ----------
    Cichocki, Zdunek, Amari: Hierarchical ALS Algorithms for Nonnegative Matrix and 3D Tensor Factorization, ICA 2007.

    Gillis, Glineur: Accelerated Multiplicative Updates and Hierarchical ALS Algorithms for Nonnegative Matrix
    Factorization, Neural Computation 24(4), 2012.
    """

    def _factorize(self, X: Any, n_components: int, **options: Any) -> Any:
        return _core.nmf(X, n_components, **options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
