"""Final objectives over seeds, each on a matrix of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from benchmarks.data import Data, l1_of
from benchmarks.fit import PENALISED, final
from benchmarks.runner import Runner
from benchmarks.tables import Section


def table(runner: Runner, cells: Iterable[Data], seeds: int, cap: float) -> Iterable[Section]:
    rows, records = [], []
    columns = ["data", "M x D x K", "l1", "solver", "seeds", "median objective", "over coxlmm's", "worst seed", "wins"]
    solvers = ["coxlmm", *PENALISED]
    for data in cells:
        l1 = l1_of(data)
        ends: dict[str, list[float]] = {solver: [] for solver in solvers}
        for seed in range(seeds):
            found: dict[str, Any] = {}
            for solver in solvers:
                found[solver] = runner.measure(
                    "fit:run", n_threads=1, timeout=1.3 * cap + 20, ours=solver == "coxlmm",
                    data=asdict(replace(data, seed=seed)), solver=solver, l1=l1, seed=seed, cap=cap, upcast=False,
                )  # fmt: skip
            if any(result is None or final(result) is None for result in found.values()):
                break  # the budget is spent, or somebody showed nothing
            for solver, result in found.items():
                ends[solver].append(final(result))
        n = len(ends["coxlmm"])
        for solver in solvers if n else []:
            relative = [theirs / ours for theirs, ours in zip(ends[solver], ends["coxlmm"], strict=True)]
            best = sum(ends[solver][i] <= min(e[i] for e in ends.values()) * (1 + 1e-6) for i in range(n))
            records.append(
                {
                    "data": data.label, "size": data.size, "l1": l1, "solver": solver, "objectives": ends[solver],
                    "median": median(ends[solver]), "relative": relative, "best_of": best,
                }
            )  # fmt: skip
            rows.append(
                [
                    data.label, data.size, f"{l1:g}", solver, str(n), f"{median(ends[solver]):.8g}",
                    f"{median(relative):.6f}", f"{min(relative):.6f}", f"{best} of {n}",
                ]
            )  # fmt: skip
        yield Section("quality", "Quality over seeds", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    "Final objectives, codes solved anew for each dictionary; every seed is a matrix of its own. 'over coxlmm's' is "
    "the median of the solver's objective over coxlmm's on the same matrix: above 1 the solver is worse; 'worst "
    "seed' is where coxlmm did worst against it. 'wins' counts where nobody is better by more than 1e-6. "
    "A solver that is stopped after ten seconds counts with what it had reached."
)
