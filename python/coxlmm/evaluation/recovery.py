"""Where what varies among samples is known: whether a concept of its own was found for every value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from coxlmm.dictionary import ConceptDictionary
from coxlmm.evaluation.baselines import random_directions, with_parameters
from coxlmm.evaluation.spread import Spread
from coxlmm.states import States

# A value that so few samples have, or lack, is not judged.
_FEWEST = 10
# What a probe finds at least so well counts as represented.
REPRESENTED = 0.95

_PENALTIES = np.logspace(0, 4, 9)

Factors = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class ValueRecovery:
    """How well one value of a factor ("red" of "tint") is told from all others, as areas under the ROC curve.

    Attributes
    ----------
    value : str
    n_train, n_test : int
        Samples that have it.
    concept_auc : Spread
        Of the activations of one concept: the one that is best on the samples of the fit, on unseen ones.
    codes_auc : Spread
        Of a linear probe of all activations together. Where it is far above ``concept_auc`` the value is not lost, but
        spread over several concepts, or it is the absence of others.
    probe_auc : float
        Of a linear probe of the states: what they represent of it at all.
    random_auc : Spread
        As ``concept_auc``, of as many random directions as there are concepts.
    """

    value: str
    n_train: int
    n_test: int
    concept_auc: Spread
    codes_auc: Spread
    probe_auc: float
    random_auc: Spread

    @property
    def is_represented(self) -> bool:
        """Whether the probe finds it, with an AUC of at least 0.95: else no concept could be expected to."""
        return self.probe_auc >= REPRESENTED


@dataclass(frozen=True)
class Recovery:
    """Values of factors, and whether concepts of their own were found for them.

    Attributes
    ----------
    factors : dict from factor to list of ValueRecovery
        Values that at least ten samples of the fit and of the unseen ones have, and lack.
    """

    factors: dict[str, list[ValueRecovery]]

    def mean_auc(self, factor: str | None = None) -> Spread:
        """The mean AUC of the best concepts over the values that are represented, of one factor or of all.

        NaN where there are none.
        """
        chosen = [v for name, values in self.factors.items() if factor in (None, name) for v in values]
        return _mean([v.concept_auc for v in chosen if v.is_represented])

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: for each factor the means over its values, and all values.

        What varies with the seed has its mean as a number, and all of it under ``spread``.
        """
        document = {}
        for factor, values in self.factors.items():
            represented = [v for v in values if v.is_represented]
            document[factor] = {
                **_figures(values),
                "n_represented": len(represented),
                "represented": _figures(represented) if represented else None,
                "values": {v.value: {"n_train": v.n_train, "n_test": v.n_test, **_figures([v])} for v in values},
            }
        return document

    def __str__(self) -> str:
        columns = {"concept": "concept_auc", "all concepts": "codes_auc", "random": "random_auc"}
        lines = [f"{'factor':12s}" + "".join(f" {name:>15s}" for name in columns) + "  probe  values (* represented)"]
        for factor, values in self.factors.items():
            means = "".join(f" {_mean([getattr(v, name) for v in values])!s:>15s}" for name in columns.values())
            probe = np.mean([v.probe_auc for v in values])
            each = ", ".join(f"{v.value}{'*' * v.is_represented} {v.concept_auc.mean:.2f}" for v in values)
            lines.append(f"{factor:12s}{means}  {probe:.3f}  {each}")
        return "\n".join(lines)


def recovery(
    estimator: Any,
    states: States,
    factors: Factors,
    held_out: States,
    held_out_factors: Factors,
    *,
    n_seeds: int = 3,
) -> Recovery:
    """Whether a decomposition finds a concept for every value of what is known to vary.

    Labels choose, for every value, which concept is asked about it, on the samples of the fit; the fit itself never
    sees them. What is reported are the areas under the ROC curve on the held-out samples: 1 where the activation of one
    concept tells the value from all others, 0.5 where it says nothing.

    Parameters
    ----------
    estimator : as for :meth:`ConceptDictionary.fit`
        It is copied and fitted with seeds 0, 1, ...
    states, held_out : States
    factors, held_out_factors : mapping from name to sequence, n_rows each
        What is true of each row of the states.
    n_seeds : int

    Raises
    ------
    ValueError
        If a factor does not have as many entries as there are states, the two name different factors, or no value is
        frequent enough.
    """
    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1, got {n_seeds}")
    if set(factors) != set(held_out_factors):
        raise ValueError(f"factors are {sorted(factors)}, but those of the held-out states {sorted(held_out_factors)}")
    for name in factors:
        for what, given, rows in (("", factors, states), (" held-out", held_out_factors, held_out)):
            if len(given[name]) != len(rows.X):
                raise ValueError(f"factor {name!r} has {len(given[name])} entries for {len(rows.X)}{what} states")
    fits, directions = [], []
    for seed in range(n_seeds):
        fit = ConceptDictionary.fit(states, with_parameters(estimator, random_state=seed))
        fits.append((fit.codes, fit.encode(held_out)))
        drawn = random_directions(fit.n_concepts, states.X.shape[1], seed).T
        directions.append((states.X @ drawn, held_out.X @ drawn))
    judged = list(_values(factors, held_out_factors))
    if not judged:
        raise ValueError(
            f"no value of {', '.join(factors)} is had, and lacked, by {_FEWEST} of the {len(states)} states of the "
            f"fit and of the {len(held_out)} held-out ones: give more samples"
        )
    has, has_too = (np.stack([value[i] for value in judged], axis=1) for i in (2, 3))
    of_states = _probes(states.X, has, held_out.X, has_too)
    of_codes = [_probes(train, has, test, has_too) for train, test in fits]
    found: dict[str, list[ValueRecovery]] = {}
    for i, (name, value, here, there) in enumerate(judged):
        entry = ValueRecovery(
            value,
            n_train=int(here.sum()),
            n_test=int(there.sum()),
            concept_auc=Spread.of(_best(train, here, test, there) for train, test in fits),
            codes_auc=Spread.of(auc[i] for auc in of_codes),
            probe_auc=of_states[i],
            random_auc=Spread.of(_best(train, here, test, there) for train, test in directions),
        )
        found.setdefault(name, []).append(entry)
    return Recovery(found)


def areas(scores: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of every column of ``scores``, ties counted half. n_columns."""
    ranks = rankdata(scores, axis=0)
    n, m = int(has.sum()), int((~has).sum())
    return (ranks[has].sum(axis=0) - n * (n + 1) / 2) / (n * m)


def _best(train: np.ndarray, has: np.ndarray, test: np.ndarray, has_too: np.ndarray) -> float:
    """On unseen samples the area of the column that is best on those of the fit."""
    best = int(areas(train, has).argmax())
    return float(areas(test[:, [best]], has_too)[0])


def _probes(train: np.ndarray, has: np.ndarray, test: np.ndarray, has_too: np.ndarray) -> list[float]:
    """Of linear probes, one for each column of ``has``."""
    # Ridge regression on the labels, its penalty chosen by leave-one-out: features of states are many and depend on
    # each other. (Logistic regression takes a hundred times as long and came out below it.)
    probe = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES, alpha_per_target=True))
    scores = probe.fit(train, has.astype(float)).predict(test).reshape(has_too.shape)
    return [float(areas(scores[:, [i]], has_too[:, i])[0]) for i in range(has.shape[1])]


def _values(factors: Factors, held_out: Factors) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    for name in factors:
        of_train, of_test = (np.array([str(value) for value in given[name]]) for given in (factors, held_out))
        for value in np.unique(of_train):
            has, has_too = of_train == value, of_test == value
            if min(has.sum(), (~has).sum(), has_too.sum(), (~has_too).sum()) >= _FEWEST:
                yield name, str(value), has, has_too


def _figures(values: Sequence[ValueRecovery]) -> dict[str, Any]:
    spreads = {name: _mean([getattr(v, name) for v in values]) for name in ("concept_auc", "codes_auc", "random_auc")}
    return {
        **{name: spread.mean for name, spread in spreads.items()},
        "probe_auc": float(np.mean([v.probe_auc for v in values])),
        "spread": {name: spread.to_dict() for name, spread in spreads.items()},
    }


def _mean(spreads: Sequence[Spread]) -> Spread:
    """The mean over values, seed by seed."""
    return Spread.of(np.mean([s.values for s in spreads], axis=0)) if spreads else Spread.of([np.nan])
