"""How well other seeds find the same concepts again."""

from collections.abc import Sequence

import numpy as np

from coxlmm.dictionary import ConceptDictionary
from coxlmm.matching import match_concepts


def found_again(dictionary: ConceptDictionary, others: Sequence[ConceptDictionary]) -> np.ndarray:
    """Of every concept the cosine with the one that it is matched with in another fit, mean over ``others``.

    Concepts are matched one to one (:func:`coxlmm.matching.match_concepts`), among those that any sample of the fit
    activates: one that none does is nothing to find. A concept without a partner counts 0, and so does a cosine below.

    Returns
    -------
    ndarray, n_concepts, 0 to 1
        0 for a concept that no sample activates.

    Raises
    ------
    ValueError
        If there are no others.
    """
    if not others:
        raise ValueError("stability needs at least one other fit: give more seeds")
    used = _used(dictionary)
    cosines = np.zeros(dictionary.n_concepts)
    signed = any((one.codes < 0).any() for one in (dictionary, *others))
    for other in others:
        matching = match_concepts(
            dictionary.components[used], other.components[_used(other)], codes=False, absolute=bool(signed)
        )
        cosines[used[matching.pairs[:, 0]]] += matching.similarities.clip(0)
    return cosines / len(others)


def stability(dictionary: ConceptDictionary, others: Sequence[ConceptDictionary]) -> float:
    """Mean of :func:`found_again` over the concepts that any sample activates."""
    return float(found_again(dictionary, others)[_used(dictionary)].mean())


def chance(X: np.ndarray, n_concepts: int, n_seeds: int) -> list[float]:
    """The stability that states drawn at random would have as concepts, by seed.

    States of one layer have much in common, so that it is far above 0.
    """
    drawn = [X[np.random.default_rng(seed).choice(len(X), n_concepts, replace=False)] for seed in range(n_seeds)]
    means = np.array([[match_concepts(a, b, codes=False).similarities.clip(0).mean() for b in drawn] for a in drawn])
    return ((means.sum(axis=1) - means.diagonal()) / (n_seeds - 1)).tolist()


def _used(dictionary: ConceptDictionary) -> np.ndarray:
    return np.flatnonzero((dictionary.codes != 0).any(axis=0))
