"""Do the peers minimise what the tables say? Each peer's own figure beside the objective that it is judged by."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.data import Data, l1_of
from benchmarks.runner import Runner
from benchmarks.solvers import objective
from benchmarks.tables import Section
from benchmarks.worker import tell

Own = Callable[[np.ndarray, int, float], tuple[np.ndarray, float]]  # (X, K, l1) -> dictionary, its own figure


def _sum(X: np.ndarray, codes: np.ndarray, atoms: np.ndarray, l1: float) -> float:
    X, codes, atoms = (np.asarray(a, np.float64) for a in (X, codes, atoms))
    return float(np.sum((X - codes @ atoms) ** 2) + l1 * np.sum(codes))


def _sklearn(X: np.ndarray, K: int, l1: float) -> tuple[np.ndarray, float]:
    """Twice the last cost that it computes itself."""
    from sklearn.decomposition import dict_learning

    _, atoms, costs = dict_learning(X, K, alpha=l1 / 2, method="cd", positive_code=True, random_state=0)
    return atoms, 2 * float(costs[-1])


def _spams(X: np.ndarray, K: int, l1: float) -> tuple[np.ndarray, float]:
    """SPAMS returns no cost: the objective with the codes of its own lasso."""
    import spams

    samples = np.asfortranarray(X.T)
    atoms = spams.trainDL(samples, K=K, lambda1=l1 / 2, iter=200, mode=2, posAlpha=True, numThreads=1, verbose=False)
    codes = spams.lasso(samples, D=np.asfortranarray(atoms), lambda1=l1 / 2, mode=2, pos=True, numThreads=1)
    return atoms.T, _sum(X, codes.T.toarray(), atoms.T, l1)


OWN: dict[str, Own] = {"sklearn": _sklearn, "SPAMS": _spams}


def run(data: dict[str, Any], peer: str, l1: float, n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker. The dictionary of twice the penalty must be worse for the penalty that is meant: a wrong
    factor in the translation of l1 would show here."""
    matrix = Data(**data)
    X = matrix.load()
    tell("started")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms, own = OWN[peer](X, matrix.n_components, l1)
        doubled, _ = OWN[peer](X, matrix.n_components, 2 * l1)
    return {
        "own": own,
        "judged": objective(X, atoms, l1),
        "longest": float(np.max(np.linalg.norm(atoms.astype(np.float64), axis=1))),
        "doubled": objective(X, doubled, l1),
    }


def table(runner: Runner, data: Data, l1: float | None = None) -> Iterable[Section]:
    rows, records = [], []
    columns = ["data", "M x D x K", "l1", "peer", "own figure", "judged by", "longest atom", "with twice the l1"]
    l1 = l1_of(data) if l1 is None else l1
    for peer in OWN:
        found = runner.measure(
            "check:run", n_threads=1, timeout=120, ours=False, data=asdict(data), peer=peer, l1=l1
        )  # fmt: skip
        record = {"data": data.label, "size": data.size, "l1": l1, "peer": peer, **(found or {})}
        records.append(record)
        if "own" in record:
            figures = [f"{record['own']:.8g}", f"{record['judged']:.8g}", f"{record['longest']:.6f}"]
            figures.append(f"{record['doubled']:.8g}")
        else:
            figures = [record.get("error", "not run").strip()[-80:], "-", "-", "-"]
        rows.append([data.label, data.size, f"{l1:g}", peer, *figures])
        yield Section("check", "What the peers minimise", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    "Each peer's own figure (scikit-learn: twice its last cost; SPAMS: the objective with its own lasso's codes), "
    "the objective that the tables judge its dictionary by (codes solved anew in double), the norm of its longest "
    "atom (at most 1), and what the dictionary that it finds for twice the penalty is worth: no better."
)
