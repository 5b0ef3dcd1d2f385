"""The compiled core. Matrices hold samples, concepts or words in rows.

Matrices are numpy arrays, or what lends its memory through DLPack, as torch tensors do. ``float32``, ``float64``,
``float16`` and ``bfloat16`` (of torch, of ``ml_dtypes``, or a numpy record dtype with the one field ``"bfloat16"``) are
read where they lie, in C or Fortran order or with any strides, negative ones too; nothing is copied. Samples and the
unembedding may also be a ``coxlmm.RowBlocks`` of such. The computation is in ``float64`` for ``float64`` and in
``float32`` for the other three, whose tiles are converted as they are read.

A copy is made for other dtypes (booleans, integers and long doubles are computed in ``float64``), of lists, for another
byte order, and for misaligned elements of numpy. Of tensors that require a gradient the values are read, no gradient
flows back. Results are numpy arrays that own their memory and have the precision of the computation.

What is in the memory of another device raises ``TypeError`` and is not moved. So do complex numbers, strings, objects.

Every function that computes on samples releases the interpreter's lock and ends within a second of Ctrl-C (rankings of
codes and ``overlap`` run to their end). ``n_threads=0`` means all processors;
no result depends on it. Misuse raises ``ValueError`` with the numbers in the message; so do values that are not finite,
with their row and column.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coxlmm.row_blocks import RowBlocks

class SemiNMFResult:
    """What ``semi_nmf`` found."""

    @property
    def codes(self) -> NDArray[Any]:
        """Activations, n_samples x n_components, nonnegative: optimal for ``dictionary``."""

    @property
    def dictionary(self) -> NDArray[Any]:
        """Concept vectors, n_components x n_features, of norm at most 1."""

    @property
    def objective(self) -> float:
        """``||x - codes @ dictionary||_F^2 + l1 * sum(codes)`` of the returned pair."""

    @property
    def squared_error(self) -> float:
        """``||x - codes @ dictionary||_F^2`` of the returned pair."""

    @property
    def history(self) -> NDArray[np.float64]:
        """The objective at the start and after every iteration: n_iter + 1 values."""

    @property
    def n_iter(self) -> int:
        """Iterations that lowered the objective."""

    @property
    def stop(self) -> Literal["converged", "max_iter", "callback"]: ...
    @property
    def kkt_residual(self) -> float:
        """How far ``codes`` are from optimal, as in ``SparseCodes``."""

class SparseCodes:
    """What ``sparse_encode`` found."""

    @property
    def codes(self) -> NDArray[Any]:
        """Activations, n_samples x n_components, nonnegative."""

    @property
    def objective(self) -> float:
        """``||x - codes @ dictionary||_F^2 + l1 * sum(codes)``."""

    @property
    def kkt_residual(self) -> float:
        """The largest, over samples x and atoms u, of the projected gradient over ``2 ||x|| ||u||``; 0 is optimal."""

    @property
    def stop(self) -> Literal["converged", "max_iter"]:
        """``"converged"`` where ``kkt_residual <= tol``."""

def semi_nmf(
    x: ArrayLike | RowBlocks,
    n_components: int,
    *,
    l1: float = 1.0,
    init: Literal["kmeans++", "samples", "svd", "random"] | ArrayLike = "kmeans++",
    n_init: int = 8,
    max_iter: int = 500,
    tol: float = 1e-6,
    seed: int = 0,
    n_threads: int = 0,
    callback: Callable[[int, float], bool | None] | None = None,
    process_group: Any = None,
) -> SemiNMFResult:
    """Minimise ``||x - codes @ dictionary||_F^2 + l1 * sum(codes)`` over nonnegative codes and atoms of norm at most 1.

    ``l1`` is the paper's lambda, twice the ``alpha`` of scikit-learn. ``n_init`` starts compete on a sketch of ``x``
    and the winner is fitted; an array as ``init`` is the only start. The fit has converged when the last five
    iterations lowered the objective by at most ``tol`` of it each, on average. ``callback(iteration, objective)`` runs
    in the calling thread after every iteration (1, 2, ...); ``False`` stops the fit, and what it raises is raised here.

    ``process_group``, with ``rank``, ``size`` and ``sum(values)``, stands for several processes that each call this
    with some of the samples: ``sum`` replaces a one-dimensional array of ``float64`` by its sums over all of them.
    ``codes`` and ``kkt_residual`` are of the own samples, the rest of the result is the same in each.
    """

def nmf(
    x: ArrayLike | RowBlocks,
    n_components: int,
    *,
    l1: float = 1.0,
    init: Literal["kmeans++", "samples", "svd", "random"] | ArrayLike = "kmeans++",
    n_init: int = 8,
    max_iter: int = 500,
    tol: float = 1e-6,
    seed: int = 0,
    n_threads: int = 0,
    callback: Callable[[int, float], bool | None] | None = None,
    process_group: Any = None,
) -> SemiNMFResult:
    """``semi_nmf`` with atoms that are nonnegative too. A negative value in ``x`` raises ``ValueError``."""

class BatchResult:
    """What ``OnlineSemiNMF`` knows after a batch."""

    @property
    def dictionary(self) -> NDArray[Any]:
        """Concept vectors, n_components x n_features, of norm at most 1."""

    @property
    def objective(self) -> float:
        """Of the batch, for the dictionary before it was learned from."""

    @property
    def n_samples(self) -> int:
        """Seen so far."""

    @property
    def n_batches(self) -> int: ...

class OnlineSemiNMF:
    """Semi-NMF of samples that come in batches and are not kept. Arguments as those of ``semi_nmf``."""

    def __init__(
        self,
        n_components: int,
        *,
        l1: float = 1.0,
        init: Literal["kmeans++", "samples", "svd", "random"] | ArrayLike = "kmeans++",
        n_init: int = 8,
        max_iter: int = 500,
        tol: float = 1e-6,
        seed: int = 0,
        n_threads: int = 0,
        callback: Callable[[int, float], bool | None] | None = None,
    ) -> None: ...
    def partial_fit(self, x: ArrayLike | RowBlocks) -> BatchResult:
        """Learn from a batch. The first is fitted by ``semi_nmf`` and sets the precision; a refused one is ignored."""

def sparse_encode(
    x: ArrayLike | RowBlocks,
    dictionary: ArrayLike,
    *,
    l1: float,
    tol: float = 1e-6,
    max_iter: int = 500,
    n_threads: int = 0,
) -> SparseCodes:
    """For every row of ``x`` the minimiser over v >= 0 of ``||row - v @ dictionary||^2 + l1 * sum(v)``.

    ``tol`` is the ``kkt_residual`` to reach within ``max_iter`` sweeps of coordinate descent and as many changes of the
    support. No sample's codes depend on which others are encoded with it. Computed in the precision of ``x``, to which
    ``dictionary`` is converted.
    """

class SparseEncoder:
    """``sparse_encode`` for one dictionary, whose Gram matrix is computed once and whose precision is that of codes."""

    def __init__(
        self, dictionary: ArrayLike, *, l1: float, tol: float = 1e-6, max_iter: int = 500, n_threads: int = 1
    ) -> None: ...
    def encode(self, x: ArrayLike | RowBlocks) -> SparseCodes:
        """Of one sample, a vector, or of several in rows; ``codes`` has as many dimensions as ``x``."""

def ground_text(
    dictionary: ArrayLike, unembedding: ArrayLike | RowBlocks, top: int, n_threads: int = 0
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """For every concept the ``top`` rows of ``unembedding`` (vocabulary x n_features) of largest inner product.

    Returns the token ids and the inner products, both n_components x top, largest first, ties by lower id. Computed in
    the precision of ``unembedding``, to which ``dictionary`` is converted.
    """

def max_activating(codes: ArrayLike, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """For every concept the ``n`` samples that activate it most: indices and activations, both n_components x n.

    Largest first, ties by lower index.
    """

def most_activating_concepts(codes: ArrayLike, r: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """For every sample the ``r`` concepts of largest activation: indices and activations, both n_samples x r.

    Largest first, ties by lower index.
    """

class PCAResult:
    """What ``pca`` found."""

    @property
    def mean(self) -> NDArray[Any]:
        """Mean of the samples, n_features."""

    @property
    def components(self) -> NDArray[Any]:
        """Principal directions, n_components x n_features: orthonormal, of the largest variance first."""

    @property
    def scores(self) -> NDArray[Any]:
        """``(x - mean) @ components.T``, n_samples x n_components."""

    @property
    def explained_variance(self) -> NDArray[np.float64]:
        """Variance of every column of ``scores``, with n_samples - 1 in the denominator."""

    @property
    def explained_variance_ratio(self) -> NDArray[np.float64]:
        """``explained_variance / total_variance``; 0 where ``x`` has no variance."""

    @property
    def singular_values(self) -> NDArray[np.float64]:
        """Norm of every column of ``scores``."""

    @property
    def total_variance(self) -> float:
        """Variance of ``x``, summed over its features."""

class KMeansResult:
    """What ``kmeans`` found."""

    @property
    def centers(self) -> NDArray[Any]:
        """n_clusters x n_features."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The nearest center of every sample; the lowest of equally near ones."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Samples of every center; 0 only where ``x`` has fewer than n_clusters different samples."""

    @property
    def inertia(self) -> float:
        """Sum of the squared distances of the samples to their centers."""

    @property
    def history(self) -> NDArray[np.float64]:
        """The inertia at the start of the final run and after every iteration of it: n_iter + 1 values."""

    @property
    def n_iter(self) -> int:
        """Iterations of the final run."""

    @property
    def stop(self) -> Literal["converged", "max_iter"]: ...

def pca(
    x: ArrayLike | RowBlocks,
    n_components: int,
    *,
    solver: Literal["auto", "full", "randomized"] = "auto",
    n_power_iterations: int = 3,
    seed: int = 0,
    n_threads: int = 0,
) -> PCAResult:
    """The orthonormal directions that hold the most variance of the samples.

    ``"full"`` is exact and costs the cube of the smaller dimension; ``"randomized"`` searches a random subspace and all
    that ``n_power_iterations`` make of it; ``"auto"`` takes the first where it is cheap. Nothing is centred or copied:
    samples are seen from their mean as they are read. The sign of a component makes its entry of largest absolute value
    positive. Components beyond the rank of ``x`` have no variance and complete the others.
    """

def kmeans(
    x: ArrayLike | RowBlocks,
    n_clusters: int,
    *,
    init: Literal["kmeans++"] | ArrayLike = "kmeans++",
    n_init: int = 10,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
    n_threads: int = 0,
) -> KMeansResult:
    """Centers that minimise the sum of the squared distances of the samples to their nearest centers.

    Lloyd's iterations from the best of ``n_init`` starts by greedy k-means++, which compete in the leading directions
    of ``x`` where it has many features; an array as ``init`` is the only start. Converged when an iteration moved the
    centers, in squared length summed over them, by at most ``tol`` times the mean variance of the features; with 0,
    when no sample changes its cluster any more.
    """

def kmeans_activations(x: ArrayLike | RowBlocks, centers: ArrayLike, *, n_threads: int = 0) -> NDArray[Any]:
    """``1 / (1 + distance)`` of every sample to every center, n_samples x n_centers, with the Euclidean distance.

    Computed in the precision of ``x``, to which ``centers`` is converted.
    """

def largest_norm(
    x: ArrayLike | RowBlocks, n_components: int, *, n_threads: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The ``n_components`` samples of largest norm, scaled to unit length, and their indices.

    Longest first, ties by lower index. Zero samples are none: asking for more than are left raises ``ValueError``.
    """

def overlap(tokens: ArrayLike | Sequence[Sequence[int]]) -> float:
    """Mean over concepts k of the mean over the others l of the share of the tokens of k that l has too.

    One row of token ids a concept, of any lengths; at least two. 0: no two have any in common, 1: all have the same.
    """

def relative_error(x: ArrayLike | RowBlocks, codes: ArrayLike, dictionary: ArrayLike, *, n_threads: int = 0) -> float:
    """``||x - codes @ dictionary||_F^2 / ||x||_F^2``, without holding the product.

    Computed in the precision of ``x``, to which the others are converted. ``x`` must not be zero.
    """
