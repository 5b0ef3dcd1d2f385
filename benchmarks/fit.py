"""Time to the same objective: how long a peer takes to its final objective, and how long coxlmm takes to that one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.data import Data, l1_of
from benchmarks.runner import Runner
from benchmarks.solvers import SOLVERS, Problem, objective
from benchmarks.tables import Section, ratio, seconds
from benchmarks.worker import tell

# Below this share two objectives are the same number in single precision.
MARGIN = 1e-6
PENALISED = ["sklearn", "sklearn minibatch", "SPAMS", "SPAMS batch"]
UNPENALISED = ["overcomplete"]


def run(
    data: dict[str, Any],
    solver: str,
    l1: float,
    seed: int,
    cap: float,
    n_threads: int,
    clock: Callable[[], float],
    upcast: bool = False,
) -> dict[str, Any]:
    """The task of a worker: one fit."""
    matrix = Data(**data)
    X = matrix.load("float32" if upcast else None)
    problem = Problem(
        X=X,
        n_components=matrix.n_components,
        l1=l1,
        seed=seed,
        n_threads=n_threads,
        cap=cap,
        clock=clock,
        report=lambda trace: tell("partial", {"trace": trace}),
    )
    tell("started")
    fit = SOLVERS[solver](problem)
    return {
        "seconds": fit.seconds,
        "trace": fit.trace,
        "capped": fit.capped,
        "n_iter": fit.n_iter,
        "objective": objective(X, fit.dictionary, l1),
    }


@dataclass(frozen=True)
class Cell:
    """A matrix and who is compared on it."""

    data: Data
    l1: float | None = None  # None: what data.l1_of says
    peers: tuple[str, ...] = tuple(PENALISED)
    upcast: bool = False  # peers get a float32 copy of 16-bit storage


def reached(result: dict[str, Any], target: float) -> float | None:
    """When a fit was first at the target; None if it never was."""
    limit = target * (1 + MARGIN)
    for when, value in result.get("trace", []):
        if value <= limit:
            return when
    return result["seconds"] if result.get("objective", float("inf")) <= limit else None


def arrived(result: dict[str, Any], cap: float) -> float:
    """When a peer was first where it ended, by what it could see itself. Its own figures may stay above the judged
    objective, whose codes are solved anew: then its last one is where it ended."""
    seen = [value for _, value in result.get("trace", [])]
    end = max([value for value in (final(result), min(seen, default=None)) if value is not None], default=0.0)
    return reached(result, end) or result.get("seconds", cap)


def final(result: dict[str, Any]) -> float | None:
    """The objective that a peer ended with; for one that was stopped, the best it had shown."""
    if "objective" in result:
        return result["objective"]
    return min((value for _, value in result.get("trace", [])), default=None)


def repeated(measure: Callable[[int], dict[str, Any] | None], repeats: int, patience: float) -> list[dict[str, Any]]:
    """Results over seeds; a fit longer than ``patience`` is not repeated."""
    results = []
    for seed in range(repeats):
        result = measure(seed)
        if result is None:
            break
        results.append(result)
        if result.get("killed") or result.get("capped") or result.get("seconds", 0) > patience or "error" in result:
            break
    return results


def compare(
    runner: Runner, cells: Iterable[Cell], *, name: str, title: str, threads: Iterable[int], repeats: int, cap: float
) -> Iterable[Section]:
    """The table, again after every cell, as far as it has come."""
    rows: list[list[str]] = []
    records: list[dict[str, Any]] = []
    columns = [
        "data", "M x D x K", "l1", "threads", "peer", "peer, s", "coxlmm, s", "ratio", "whole fit, s",
        "objective",
    ]  # fmt: skip
    for n_threads in threads:
        for cell in cells:
            try:
                l1 = l1_of(cell.data) if cell.l1 is None else cell.l1
            except ImportError as error:  # the demo model's data come with an optional package
                note = f"not run: {error}"
                rows.append([cell.data.label, cell.data.size, "-", str(n_threads), *["-"] * 5, note])
                continue

            def measure(solver: str, seed: int, cell: Cell = cell, l1: float = l1, n: int = n_threads) -> Any:
                return runner.measure(
                    "fit:run",
                    n_threads=n,
                    timeout=cap + max(0.3 * cap, 20),
                    ours=solver == "coxlmm",
                    data=asdict(cell.data),
                    solver=solver,
                    l1=l1,
                    seed=seed,
                    cap=cap,
                    upcast=cell.upcast and solver != "coxlmm",
                )

            ours = repeated(lambda seed: measure("coxlmm", seed), repeats, patience=10)
            for peer in cell.peers:
                theirs = repeated(lambda seed: measure(peer, seed), repeats, patience=10)  # noqa: B023
                record = {
                    "data": cell.data.label, "size": cell.data.size, "l1": l1, "threads": n_threads, "peer": peer,
                    "storage": cell.data.storage, **against(ours, theirs, cap),
                }  # fmt: skip
                records.append(record)
                rows.append(_row(record))
                yield Section(name, title, _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    "Seconds to the peer's final objective, codes solved anew for its dictionary: median [least-most]. The peer's "
    "time is to when its own trace is first there, where it has one, or first at its last figure; that of SPAMS, which "
    "shows nothing while it runs, is that of the shortest run which had it, at most twice as long as needed. A peer "
    "stopped at the cap is '>', its ratio '>=': from there coxlmm's time is to the objective that the peer had "
    "reached. 'objective' is coxlmm's at the end of its fit over the peer's: at most 1 is as good or better."
)


def against(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], cap: float) -> dict[str, Any]:
    """The comparison of repeated fits, in numbers."""
    if not ours or not theirs:
        return {"note": "not run"}
    errors = [r["error"].strip().splitlines()[-1] for r in [*ours, *theirs] if "error" in r]
    if errors:
        return {"note": errors[0][-120:]}
    ends = [value for value in map(final, theirs) if value is not None]
    stopped = any(r.get("killed") or r.get("capped") for r in theirs)
    fits = [r.get("seconds", cap) for r in theirs]
    if not ends:  # stopped before its first iteration: coxlmm is timed to the end of its own fit
        times = [r["seconds"] for r in ours]
        return {
            "peer_seconds": [cap], "stopped": True, "coxlmm_seconds": times, "ratio": cap / median(times),
            "note": "peer stopped before it showed an objective",
        }  # fmt: skip
    target = median(ends)
    own = [r["objective"] for r in ours]
    peer_times = [arrived(r, cap) for r in theirs]
    times = [reached(r, target) for r in ours]
    result = {
        "peer_objective": target,
        "coxlmm_objective": median(own),
        "peer_seconds": peer_times,
        "peer_fit_seconds": fits,
        "stopped": stopped,
        "coxlmm_seconds": times,
        "coxlmm_fit_seconds": [r["seconds"] for r in ours],
    }
    if None in times:
        missed = sum(t is None for t in times)
        result["note"] = f"{missed} of {len(times)} coxlmm fits end above the peer"
    there = [t for t in times if t is not None]
    if 2 * len(there) > len(times):
        result["ratio"] = median(peer_times) / median(there)
        result["ratio_range"] = [min(peer_times) / max(there), max(peer_times) / min(there)]
    return result


def _row(record: dict[str, Any]) -> list[str]:
    stopped = record.get("stopped", False)
    least, most = record.get("ratio_range", (0, 0))
    objectives = [record.get("coxlmm_objective"), record.get("peer_objective")]
    quotient = "" if None in objectives else f"{objectives[0] / objectives[1]:.6f}"
    return [
        record["data"] + (f" ({record['storage']})" if record["storage"] != "float32" else ""),
        record["size"],
        f"{record['l1']:g}",
        str(record["threads"]),
        record["peer"],
        seconds(record.get("peer_seconds"), censored=stopped),
        seconds([t for t in record.get("coxlmm_seconds", []) if t is not None]),
        ratio(record.get("ratio"), censored=stopped, least=least, most=most),
        seconds(record.get("peer_fit_seconds"), censored=stopped),
        "; ".join(filter(None, [quotient, record.get("note")])),
    ]
