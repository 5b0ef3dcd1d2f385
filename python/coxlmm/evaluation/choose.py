"""How many concepts, and how sparse: error against stability against sparsity."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from coxlmm.dictionary import ConceptDictionary
from coxlmm.estimators import SemiNMF
from coxlmm.evaluation.baselines import l1_of_share, with_parameters
from coxlmm.evaluation.result import write_json
from coxlmm.evaluation.spread import Spread
from coxlmm.evaluation.stability import chance, stability
from coxlmm.reconstruction import measured_errors
from coxlmm.states import States

# Of the length of a typical state, what a concept has to explain to be used: see baselines.
SHARES = (0.01, 0.03, 0.1, 0.3)
# Activations are computed in single precision, and optimal up to about this part of a state: errors below are all 0.
_EXACT = 1e-6


@dataclass(frozen=True)
class Candidate:
    """One number of concepts with one penalty.

    Attributes
    ----------
    n_components : int
    l1 : float
    relative_error, held_out_error : Spread
        Of the states of the fit, and of those held out.
    stability : Spread
        Cosine of the concepts with those of other seeds: see :mod:`coxlmm.evaluation.stability`.
    chance : Spread
        The stability of as many states drawn at random, less the mean state where the estimator has one.
    mean_active, n_used : Spread
        Concepts that a held-out state activates, on average, and that any state of the fit does.
    efficient : bool
        Whether no other candidate is at least as good in all three of :attr:`objectives`, and better in one.
    distance : float or None
        Of an efficient one, to the ideal: see :func:`choose`.
    """

    n_components: int
    l1: float
    relative_error: Spread
    held_out_error: Spread
    stability: Spread
    chance: Spread
    mean_active: Spread
    n_used: Spread
    efficient: bool = False
    distance: float | None = None

    @property
    def objectives(self) -> np.ndarray:
        """Log of held-out error, instability, and active concepts, n_seeds x 3: less is better.

        The log, so that to halve what is left unexplained counts the same wherever it is. Instability is
        ``(1 - stability) / (1 - chance)``: 0 where all seeds find the same, 1 for states drawn at random.
        """
        error = np.log(np.maximum(self.held_out_error.values, _EXACT))
        instability = (1 - np.array(self.stability.values)) / max(1 - self.chance.mean, np.finfo(float).eps)
        return np.stack([error, instability, self.mean_active.values], axis=1)

    def to_dict(self) -> dict[str, Any]:
        return {name: value.to_dict() if isinstance(value, Spread) else value for name, value in vars(self).items()}


@dataclass(frozen=True, eq=False)
class Choice:
    """A sweep over numbers of concepts and penalties.

    Attributes
    ----------
    candidates : list of Candidate
        In the order of the request: by number of concepts, then by penalty.
    recommended : Candidate
    settings : dict
        JSON values.
    left_out : dict of str
        Candidates that could not be fitted, "K=..., l1=...", and why.
    """

    candidates: list[Candidate]
    recommended: Candidate
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "settings": self.settings,
            "recommended": {"n_components": self.recommended.n_components, "l1": self.recommended.l1},
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "left_out": self.left_out,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes :meth:`to_dict` as a JSON file."""
        return write_json(path, self.to_dict())

    def table(self, form: str = "text") -> str:
        """One row a candidate: ``form`` is "text", "markdown" or "html"."""
        from coxlmm.evaluation.table import choice_table

        return choice_table(self, form)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A figure of matplotlib, saved where a path is given: see :func:`coxlmm.evaluation.figure.choice_figure`."""
        from coxlmm.evaluation.figure import choice_figure

        return choice_figure(self, path)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return self.table("html")


def choose(
    states: States,
    n_components: Iterable[int] = (5, 10, 20, 40),
    l1: Iterable[float] | None = None,
    *,
    estimator: Any = None,
    n_seeds: int = 3,
    held_out: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> Choice:
    """Fits dictionaries of several sizes and penalties, and recommends one.

    More concepts and a smaller penalty always explain more of the states of the fit. Against that stand three things:
    how much of *other* states they explain, whether other seeds find the same concepts, and how many of them a reader
    has to look at for each state.

    Of the candidates that are efficient (no other one is as good in all of :attr:`Candidate.objectives` and better in
    one), the recommended one is nearest to the ideal, which has the best value of each: by Euclidean distance, after
    each of the three has been scaled so that it runs from 0, its best value among the efficient ones, to 1, its worst.
    That is compromise programming (Zeleny, 1973): it weighs the three equally and has nothing to set. Candidates that
    are farther by no more than the standard error of the smallest distance over seeds are as good; of these the one
    with the fewest concepts is recommended, and then the sparsest. What is worst depends on what is tried: try a range
    that you would read.

    Parameters
    ----------
    states : States
    n_components : iterable of int
    l1 : iterable of float, optional
        Penalties, in the unit of the states. Default: those at which a concept is used where it alone explains 1%, 3%,
        10% and 30% of the length of a typical state: see :func:`coxlmm.evaluation.baselines.l1_of_share`.
    estimator : optional
        What to fit, with parameters ``n_components``, ``l1`` and ``random_state`` of its own or of an estimator that it
        was given, as in ``Whitened(SemiNMF())``. Default: :class:`coxlmm.SemiNMF`.
    n_seeds : int
        Fits of each candidate; at least 2.
    held_out : float
        Share of the samples that no fit sees. All states of a sample are on one side.
    progress : callable, optional
        ``progress(done, total)``, after each fit.

    Raises
    ------
    ValueError
        If there is nothing to try, fewer than 2 seeds, ``held_out`` leaves one side empty, or no candidate can be
        fitted.
    """
    if n_seeds < 2:
        raise ValueError(f"stability compares fits of several seeds: n_seeds must be at least 2, got {n_seeds}")
    train, test = _split(states, held_out)
    template = SemiNMF() if estimator is None else estimator
    if l1 is None:
        l1 = [l1_of_share(template, train.X, share) for share in SHARES]
    penalties = [float(value) for value in l1]
    grid = list(product([int(k) for k in n_components], penalties))
    if not grid:
        raise ValueError("there is nothing to try: give at least one number of concepts and one l1")
    with_parameters(template, n_components=1, l1=0.0, random_state=0)  # has what is to be tried
    tried: list[Candidate] = []
    left_out: dict[str, str] = {}
    for i, (k, penalty) in enumerate(grid):
        try:
            tried.append(_candidate(template, k, penalty, train, test, n_seeds))
        except ValueError as error:
            left_out[f"K={k}, l1={penalty:g}"] = str(error)
        if progress is not None:
            progress(i + 1, len(grid))
    if not tried:
        raise ValueError(f"no candidate can be fitted: {next(iter(left_out.values()))}")
    candidates, best = _recommend(tried)
    settings = {
        "word": states.manifest.get("word"),
        "layer": states.manifest.get("layer"),
        "estimator": repr(template),
        "n_states": len(train),
        "n_held_out": len(test),
        "n_seeds": n_seeds,
    }
    return Choice(candidates, candidates[best], settings, left_out)


def _split(states: States, held_out: float) -> tuple[States, States]:
    names = list(dict.fromkeys(states.sample_ids))
    if not 0 < held_out < 1 or round(held_out * len(names)) in (0, len(names)):
        raise ValueError(
            f"held_out must leave samples on both sides, got {held_out} of {len(names)}: give a share between 0 and 1"
        )
    _, unseen = train_test_split(names, test_size=round(held_out * len(names)), random_state=0)
    mask = np.isin(states.sample_ids, unseen)
    return states.subset(~mask), states.subset(mask)


def _candidate(template: Any, k: int, l1: float, train: States, test: States, n_seeds: int) -> Candidate:
    made = [with_parameters(template, n_components=k, l1=l1, random_state=seed) for seed in range(n_seeds)]
    fits = [ConceptDictionary.fit(train, one) for one in made]
    codes = [fit.encode(test) for fit in fits]
    errors = [measured_errors(test.X, v, fit.estimator)[0] for v, fit in zip(codes, fits, strict=True)]
    mean = getattr(fits[0].estimator, "mean_", None)
    return Candidate(
        n_components=k,
        l1=l1,
        relative_error=Spread.of(fit.relative_error for fit in fits),
        held_out_error=Spread.of(errors),
        stability=Spread.of(stability(fit, [*fits[:i], *fits[i + 1 :]]) for i, fit in enumerate(fits)),
        chance=Spread.of(chance(train.X, k, n_seeds, mean)),
        mean_active=Spread.of(np.count_nonzero(v > 0) / len(v) for v in codes),
        n_used=Spread.of(np.count_nonzero((fit.codes > 0).any(axis=0)) for fit in fits),
    )


def _recommend(tried: Sequence[Candidate]) -> tuple[list[Candidate], int]:
    """The candidates, of which the efficient ones have their distance now, and which is recommended."""
    means = np.array([candidate.objectives.mean(axis=0) for candidate in tried])
    efficient = [i for i, row in enumerate(means) if not ((means <= row).all(axis=1) & (means < row).any(axis=1)).any()]
    front = means[efficient]
    ideal, span = front.min(axis=0), np.ptp(front, axis=0)
    scale = np.where(span > 0, span, 1.0)
    judged = list(tried)
    for i in efficient:
        distance = float(np.linalg.norm((means[i] - ideal) / scale))
        judged[i] = replace(tried[i], efficient=True, distance=distance)
    nearest = min(efficient, key=lambda i: judged[i].distance)
    by_seed = np.linalg.norm((tried[nearest].objectives - ideal) / scale, axis=1)
    limit = judged[nearest].distance + by_seed.std(ddof=1) / np.sqrt(len(by_seed))
    as_good = [i for i in efficient if judged[i].distance <= limit]
    return judged, min(as_good, key=lambda i: (judged[i].n_components, judged[i].mean_active.mean))
