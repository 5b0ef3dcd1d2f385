"""Concepts of two dictionaries, paired: over seeds, numbers of concepts, penalties, layers, models."""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from coxlmm.dictionary import ConceptDictionary

# What has to be equal for two states to be vectors of the same space.
_SPACE = ("model_id", "revision", "layer", "stream", "normalized")
_FEWEST_SAMPLES = 3  # any two numbers correlate perfectly


@dataclass(frozen=True, eq=False)
class ConceptMatching:
    """Which concept of one dictionary is which of another.

    Attributes
    ----------
    pairs : ndarray of int, n_pairs x 2
        Concepts of the first and of the second dictionary, in the order of the first.
    similarities : ndarray, n_pairs, -1 to 1
        Of each pair.
    unmatched : (list of int, list of int)
        Concepts of the first and of the second dictionary that have no partner: where one has more than the other.
    measure : {"cosine", "correlation"}
        What the similarities are: cosines of concept vectors, or correlations of activations over shared samples.
    n_samples : int or None
        Shared samples, for correlations.
    """

    pairs: np.ndarray
    similarities: np.ndarray
    unmatched: tuple[list[int], list[int]]
    measure: Literal["cosine", "correlation"]
    n_samples: int | None = None

    @property
    def mean(self) -> float:
        """Mean similarity of the pairs; concepts without a partner do not count."""
        return float(self.similarities.mean())

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "measure": self.measure,
            "mean": self.mean,
            "n_samples": self.n_samples,
            "pairs": [
                {"a": a, "b": b, "similarity": similarity}
                for (a, b), similarity in zip(self.pairs.tolist(), self.similarities.tolist(), strict=True)
            ],
            "unmatched": dict(zip("ab", self.unmatched, strict=True)),
        }


def match_concepts(
    a: ConceptDictionary | ArrayLike,
    b: ConceptDictionary | ArrayLike,
    *,
    codes: bool | None = None,
    absolute: bool | None = None,
) -> ConceptMatching:
    """Pairs concepts one to one so that the sum of the pairs' similarities is the largest: the Hungarian method.

    Parameters
    ----------
    a, b : ConceptDictionary, or ndarray
        Arrays are concept vectors, n_concepts x n_features; with ``codes=True`` activations, n_samples x n_concepts, of
        the same samples in the same order.
    codes : bool, optional
        False: the similarity of two concepts is the cosine of their vectors, which needs both to be of one space. True:
        it is the Pearson correlation of their activations over the samples that both dictionaries were fitted on, found
        by their ids, whatever their models and layers. Default: True for dictionaries of another model, revision, layer
        or stream, and otherwise False.
    absolute : bool, optional
        Whether the sign does not count. Default: where a dictionary has negative activations (PCA), whose signs are
        arbitrary. Similarities are then absolute values.

    Returns
    -------
    ConceptMatching
        Concepts whose vector is zero, or whose activation is constant, have similarity 0 with all others.

    Raises
    ------
    ValueError
        If the vectors have different numbers of features, an array is no matrix or has values that are not finite, or
        fewer than 3 samples are shared.

    Notes
    -----
    Takes O(n_concepts^3) at most: milliseconds for hundreds of concepts (``scipy.optimize.linear_sum_assignment``).
    """
    if codes is None:
        codes = _in_different_spaces(a, b)
    if absolute is None:
        absolute = any(isinstance(d, ConceptDictionary) and bool((d.codes < 0).any()) for d in (a, b))
    if codes:
        V, W = _shared_activations(a, b)
        n_samples = len(V)
        similarity = cosines((V - V.mean(axis=0)).T, (W - W.mean(axis=0)).T)
    else:
        U, T = (_matrix(d.components if isinstance(d, ConceptDictionary) else d, "concept vectors") for d in (a, b))
        if U.shape[1] != T.shape[1]:
            raise ValueError(
                f"concept vectors of {U.shape[1]} and of {T.shape[1]} features are of different spaces: match by "
                f"activations over shared samples, codes=True"
            )
        n_samples = None
        similarity = cosines(U, T)
    if absolute:
        similarity = np.abs(similarity)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    n, m = similarity.shape
    return ConceptMatching(
        pairs=np.stack([rows, columns], axis=1),
        similarities=similarity[rows, columns],
        unmatched=(sorted(set(range(n)) - set(rows.tolist())), sorted(set(range(m)) - set(columns.tolist()))),
        measure="correlation" if codes else "cosine",
        n_samples=n_samples,
    )


def _in_different_spaces(a: object, b: object) -> bool:
    if not (isinstance(a, ConceptDictionary) and isinstance(b, ConceptDictionary)):
        return False
    return any(a.manifest.get(key) != b.manifest.get(key) for key in _SPACE)


def _shared_activations(a: ConceptDictionary | ArrayLike, b: ConceptDictionary | ArrayLike) -> tuple:
    V, W = (_matrix(d.codes if isinstance(d, ConceptDictionary) else d, "activations") for d in (a, b))
    if isinstance(a, ConceptDictionary) and isinstance(b, ConceptDictionary):
        by_word = a.sample_words is not None or b.sample_words is not None
        first, second = (list(_samples(d, by_word)) for d in (a, b))
        at = {sample: row for row, sample in enumerate(second)}
        shared = [(row, at[sample]) for row, sample in enumerate(first) if sample in at]
        rows, columns = np.array(shared, dtype=int).reshape(-1, 2).T
        V, W = V[rows], W[columns]
    elif len(V) != len(W):
        raise ValueError(f"activations of {len(V)} and of {len(W)} samples: give those of the same samples, in order")
    if len(V) < _FEWEST_SAMPLES:
        raise ValueError(
            f"the dictionaries share {len(V)} samples, and at least {_FEWEST_SAMPLES} are needed to correlate their "
            f"activations: fit both to states of the same images"
        )
    return V, W


def _samples(dictionary: ConceptDictionary, by_word: bool) -> Iterator[tuple[str, Hashable, int]]:
    """Names of the states that a dictionary was fitted to: of which sample, of which word, and which of several.

    Several states of one sample (one a visual token) have the same order in every extraction. Words only tell states
    apart where words share a dictionary: else those of "dog" in one may be compared with those of "cat" in another.
    """
    words = dictionary.sample_words or [dictionary.word] * dictionary.n_samples
    seen: Counter[tuple[str, Hashable]] = Counter()
    for name, word in zip(dictionary.sample_ids, words, strict=True):
        key = (name, word if by_word else None)
        yield (*key, seen[key])
        seen[key] += 1


def _matrix(values: ArrayLike, what: str) -> np.ndarray:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.isfinite(matrix).all():
        raise ValueError(f"{what} must be a matrix of finite numbers, not empty, got an array of shape {matrix.shape}")
    return matrix


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of every row of ``a`` with every row of ``b``; 0 with a row of zeros."""
    return np.clip(unit_rows(a) @ unit_rows(b).T, -1, 1)


def unit_rows(a: np.ndarray) -> np.ndarray:
    """The rows of ``a``, of floats, at unit length; a row of zeros stays one."""
    norms = np.linalg.norm(a, axis=1, keepdims=True)
    return np.divide(a, norms, out=np.zeros_like(a), where=norms > 0)
