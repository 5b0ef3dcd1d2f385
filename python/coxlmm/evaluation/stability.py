"""How well other seeds find the same concepts again."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coxlmm.dictionary import ConceptDictionary
from coxlmm.evaluation.baselines import parameters, with_parameters
from coxlmm.matching import match_concepts
from coxlmm.states import States


def measure_stability(dictionary: ConceptDictionary, states: States, n_seeds: int = 4) -> ConceptDictionary:
    """Fits again from ``n_seeds`` other seeds and sets ``dictionary.stability``: see :func:`found_again`.

    Raises
    ------
    ValueError
        If ``n_seeds`` is less than 1, or the states are not those that the dictionary was fitted to.
    """
    require_fit(dictionary, states)
    dictionary.stability = found_again(dictionary, other_fits(dictionary.estimator, states, n_seeds, first=True))
    return dictionary


def other_fits(method: Any, states: States, n: int, *, first: bool = False) -> list[ConceptDictionary]:
    """Fits with ``n`` seeds: 0, 1, ..., where there is a ``first`` fit but those that it had."""
    taken = parameters(method, "random_state") if first else []
    seeds = [seed for seed in range(n + len(taken)) if seed not in taken][:n]
    return [ConceptDictionary.fit(states, with_parameters(method, random_state=seed)) for seed in seeds]


def require_fit(dictionary: ConceptDictionary, states: States) -> None:
    """Raises ValueError if the states are not those that the dictionary was fitted to."""
    if states.X.shape != (dictionary.n_samples, dictionary.components.shape[1]) or (
        states.sample_ids != dictionary.sample_ids
    ):
        raise ValueError(
            f"the states are not those that the dictionary was fitted to: they are {states.X.shape[0]} of "
            f"{states.X.shape[1]} features, and it was fitted to {dictionary.n_samples} of "
            f"{dictionary.components.shape[1]}" + (", of other samples" if len(states) == dictionary.n_samples else "")
        )


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


def chance(X: np.ndarray, n_concepts: int, n_seeds: int, mean: np.ndarray | None = None) -> list[float]:
    """The stability that states drawn at random, less ``mean``, would have as concepts, by seed.

    States of one layer have much in common, so that it is far above 0 where nothing is taken off them.
    """
    rows = [np.random.default_rng(seed).choice(len(X), n_concepts, replace=False) for seed in range(n_seeds)]
    drawn = [X[chosen] if mean is None else X[chosen] - mean for chosen in rows]
    means = np.array([[match_concepts(a, b, codes=False).similarities.clip(0).mean() for b in drawn] for a in drawn])
    return ((means.sum(axis=1) - means.diagonal()) / (n_seeds - 1)).tolist()


def _used(dictionary: ConceptDictionary) -> np.ndarray:
    return np.flatnonzero((dictionary.codes != 0).any(axis=0))
