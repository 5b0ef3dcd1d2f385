"""What a dictionary is compared with: other decompositions, and chance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import BaseEstimator, clone

from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF
from coxlmm.estimators.sparse import SparseEstimator

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
    kind = type(estimator).__name__
    return _NAMES.get(kind, kind)


def with_parameters(estimator: Any, **values: Any) -> Any:
    """An unfitted copy of an estimator in which parameters have these values, in itself and in estimators within it."""
    copy = clone(estimator)
    own = copy.get_params(deep=True)
    return copy.set_params(**{key: values[key.split("__")[-1]] for key in own if key.split("__")[-1] in values})


def parameter(estimator: Any, name: str) -> Any:
    """The value of a parameter of an estimator, or of one within it; None where there is none of that name."""
    found = {key.count("__"): value for key, value in estimator.get_params().items() if key.split("__")[-1] == name}
    return found[min(found)] if found else None


def baselines(n_components: int, l1: float) -> dict[str, Any]:
    """Methods to compare with, unfitted, by name: with as many concepts, and the same penalty where they have one."""
    return {
        "semi_nmf": SemiNMF(n_components, l1=l1),
        "simple": LargestNorm(n_components, l1=l1),
        "pca": PCA(n_components),
        "kmeans": KMeans(n_components),
        "nmf": SignedNMF(n_components, l1=l1),
        "random_states": RandomStates(n_components, l1=l1),
    }


def random_directions(n: int, n_features: int, seed: int) -> np.ndarray:
    """Directions drawn uniformly, unit length, n x n_features."""
    drawn = np.random.default_rng(seed).standard_normal((n, n_features))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def noise_images(sizes: Iterable[tuple[int, int]], seed: int) -> Iterable[Image.Image]:
    """Pictures whose pixels are drawn uniformly, of the given widths and heights."""
    rng = np.random.default_rng(seed)
    for width, height in sizes:
        yield Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _parts(X: ArrayLike) -> NDArray[Any]:
    signed = np.asarray(X)
    return np.hstack([signed.clip(0), (-signed).clip(0)])
