"""Semi-NMF: signed concept vectors, nonnegative activations."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from coxlmm import _core
from coxlmm.estimators.base import said_as_scikit_learn_does
from coxlmm.estimators.factorization import Factorization

_OF_BATCHES = ("n_samples_seen_", "n_batches_", "_online")  # what only partial_fit sets
_OF_FIT = ("reconstruction_err_", "history_", "n_iter_", "stop_reason_")  # what only fit sets
_OF_FEATURES = ("n_features_in_", "feature_names_in_")


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
    init : {"kmeans++", "samples", "svd", "random"} or array of shape (n_components, n_features), default="kmeans++"
        Start of the concept vectors: samples spread out as k-means++ does, samples drawn uniformly, singular directions
        of the samples, random directions, or the given vectors (a warm start; those of norm above 1 are scaled to 1).
    n_init : int, default=8
        Starts to try. They compete on a sketch of the data (few samples, few directions), which costs little, and the
        winner is fitted to all of it. The problem is not convex: one start alone often ends in a worse minimum.
        Ignored when ``init`` is an array or "svd".
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

    def partial_fit(self, X: ArrayLike, y: object = None) -> SemiNMF:
        """Learn from a batch of samples that is not kept: the objective of ``fit``, approached by online learning.

        The first call fits its batch as ``fit`` does, so it needs at least ``n_components`` samples; later ones encode
        theirs with the concept vectors so far and take them into the sums that determine the next, in which older
        batches count less and less. Several rounds over the same batches come closer to ``fit``. For samples that lie
        in files, ``fit`` of a :class:`coxlmm.RowBlocks` is exact and does not need them in memory either.

        Sets ``components_``, ``n_samples_seen_``, ``n_batches_``, and ``objective_``: that of the batch for the concept
        vectors before it was learned from. Parameters count as they are at the first call, the only one that calls
        ``callback``; after ``fit``, the next call is a first one. Of a copy or a pickle the sums are missing: it
        transforms, but cannot be continued.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or RowBlocks
            Samples in rows, as :meth:`fit` takes them.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As ``fit``, and for another number of features than before. A batch that is refused changes nothing.
        TypeError
            As ``fit``.
        """
        begins = not hasattr(self, "n_batches_")
        if not begins and not hasattr(self, "_online"):
            raise ValueError(
                "this SemiNMF was copied or unpickled, and the sums of its batches were not: go on with the original, "
                "or call fit"
            )
        before = {name: value for name, value in vars(self).items() if name in _OF_FEATURES}
        try:
            X = self._validate(X, reset=begins)
            online = self._begun(*X.shape) if begins else self._online
            with said_as_scikit_learn_does():
                found = online.partial_fit(X)
        except BaseException:
            self._forget(_OF_FEATURES)
            vars(self).update(before)
            raise
        if begins:
            self._forget(_OF_FIT)
        self._online = online
        self.components_ = found.dictionary
        self.objective_ = found.objective
        self.n_samples_seen_ = found.n_samples
        self.n_batches_ = found.n_batches
        return self

    def _fit(self, X: Any) -> NDArray[Any]:
        codes = super()._fit(X)
        self._forget(_OF_BATCHES)
        return codes

    def _begun(self, n_samples: int, n_features: int) -> _core.OnlineSemiNMF:
        if self.process_group is not None:
            raise ValueError("partial_fit runs in one process: use fit, or process_group=None")
        self._check_parameters(n_samples, n_features)
        return _core.OnlineSemiNMF(self.n_components, **self._options())

    def _forget(self, names: tuple[str, ...]) -> None:
        for name in names:
            vars(self).pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_online"}

    def _factorize(self, X: Any, n_components: int, **options: Any) -> Any:
        return _core.semi_nmf(X, n_components, **options)
