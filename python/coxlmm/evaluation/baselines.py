"""What a dictionary is compared with: other decompositions, and chance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import BaseEstimator, clone

from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF, Whitened
from coxlmm.estimators.sparse import SparseEstimator
from coxlmm.matching import unit_rows

_NAMES = {"SemiNMF": "semi_nmf", "LargestNorm": "simple", "PCA": "pca", "KMeans": "kmeans", "NMF": "nmf"}


class SignedNMF(BaseEstimator):
    """NMF of states that have signs: of their positive and their negative parts, side by side.

    ``X = X+ - X-`` with both parts nonnegative, and so ``[X+, X-]`` is what :class:`coxlmm.NMF` decomposes; a concept
    vector is the difference of the two halves of what it finds, and activations are as they are.
    """

    def __init__(
        self, n_components: int = 20, *, l1: float = 1.0, random_state: int | None = None, n_jobs: int | None = None
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[Any]:
        self._nmf = NMF(self.n_components, l1=self.l1, random_state=self.random_state, n_jobs=self.n_jobs)
        codes = self._nmf.fit_transform(_parts(X))
        positive, negative = np.hsplit(self._nmf.components_, 2)
        self.components_ = positive - negative
        return codes

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        return self._nmf.transform(_parts(X))


class RandomStates(SparseEstimator):
    """Concept vectors that are states drawn at random, of unit length: chance, for whatever a decomposition is good at.

    All states of a layer have much in common, so that even these reconstruct others, and one draw resembles the next.
    """

    def __init__(
        self, n_components: int = 20, *, l1: float = 1.0, random_state: int | None = None, n_jobs: int | None = None
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> NDArray[Any]:
        rows = np.random.default_rng(self._seed()).choice(len(X), self.n_components, replace=False)
        self.components_ = X[rows] / np.linalg.norm(X[rows], axis=1, keepdims=True).clip(np.finfo(X.dtype).tiny)
        return self._encode(X)


def name_of(estimator: Any) -> str:
    """What a method is called in results: "semi_nmf", "simple", ..., or the estimator's class."""
    if isinstance(estimator, Whitened):
        return "whitened_" + ("semi_nmf" if estimator.estimator is None else name_of(estimator.estimator))
    kind = type(estimator).__name__
    return _NAMES.get(kind, kind)


def parameters(estimator: Any, name: str) -> list[Any]:
    """The values of the parameters of this name, of an estimator and of estimators within it."""
    return [value for key, value in _explicit(estimator).get_params().items() if key.split("__")[-1] == name]


def with_parameters(estimator: Any, **values: Any) -> Any:
    """An unfitted copy of an estimator in which parameters have these values, in itself and in estimators within it.

    Raises
    ------
    ValueError
        If there is no parameter of one of these names.
    """
    copy = _explicit(estimator)
    own = copy.get_params(deep=True)
    missing = [name for name in values if not parameters(copy, name)]
    if missing:
        raise ValueError(f"{copy!r} has no parameter {missing[0]!r}, nor has an estimator that it was given")
    return copy.set_params(**{key: values[key.split("__")[-1]] for key in own if key.split("__")[-1] in values})


def _explicit(estimator: Any) -> Any:
    """A copy in which an estimator that is left to its default is there."""
    copy = clone(estimator)
    if isinstance(copy, Whitened) and copy.estimator is None:
        copy.set_params(estimator=copy.default_estimator())
    return copy


def l1_of_share(estimator: Any, X: np.ndarray, share: float) -> float:
    """The penalty at which a concept is used where it alone explains more than ``share`` of a typical sample's length.

    A concept u of unit length, if no other is used, is used by a sample x where ``x @ u > l1 / 2``, and ``x @ u`` is at
    most ``||x||``. Typical is the median: with ``share=1`` half of the samples activate nothing, whatever concepts are.
    Samples are states; for :class:`coxlmm.estimators.Whitened` they are whitened, of a typical length of 1.
    """
    return 2 * share * _typical_norm(estimator, X)


def share_of_l1(estimator: Any, X: np.ndarray) -> float:
    """The inverse of :func:`l1_of_share` for the ``l1`` that an estimator has; 0 if it has none."""
    own = parameters(estimator, "l1")
    return own[0] / (2 * _typical_norm(estimator, X)) if own else 0.0


def _typical_norm(estimator: Any, X: np.ndarray) -> float:
    return 1.0 if isinstance(estimator, Whitened) else float(np.median(np.linalg.norm(X, axis=1)))


def baselines(X: np.ndarray, n_components: int, share: float) -> dict[str, Any]:
    """Methods to compare with, unfitted, by name.

    All have as many concepts, and those with a penalty the one that is this share of what they decompose: see
    :func:`l1_of_share`.
    """
    whitened = Whitened(SemiNMF(n_components))
    l1 = l1_of_share(SemiNMF(), X, share)
    return {
        "semi_nmf": SemiNMF(n_components, l1=l1),
        "whitened_semi_nmf": with_parameters(whitened, l1=l1_of_share(whitened, X, share)),
        "simple": LargestNorm(n_components, l1=l1),
        "pca": PCA(n_components),
        "kmeans": KMeans(n_components),
        "nmf": SignedNMF(n_components, l1=l1),
        "random_states": RandomStates(n_components, l1=l1),
    }


def random_directions(n: int, n_features: int, seed: int) -> np.ndarray:
    """Directions drawn uniformly, unit length, n x n_features."""
    drawn = np.random.default_rng(seed).standard_normal((n, n_features))
    return unit_rows(drawn).astype(np.float32)


def noise_images(sizes: Iterable[tuple[int, int]], seed: int) -> Iterable[Image.Image]:
    """Pictures whose pixels are drawn uniformly, of the given widths and heights."""
    rng = np.random.default_rng(seed)
    for width, height in sizes:
        yield Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _parts(X: ArrayLike) -> NDArray[Any]:
    signed = np.asarray(X)
    return np.hstack([signed.clip(0), (-signed).clip(0)])
