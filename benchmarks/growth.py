"""How the time of a fit grows with the number of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import Data, folder
from benchmarks.runner import Runner
from benchmarks.tables import Section, seconds
from benchmarks.worker import tell

ITERATIONS = 20


def run(
    data: dict[str, Any], n_samples: int, repeats: int, n_threads: int, clock: Callable[[], float]
) -> dict[str, Any]:
    """The task of a worker: whole fits as they are by default, and ITERATIONS passes of one start."""
    from coxlmm import _core

    matrix = Data(**data)
    X = np.load(matrix.make(), mmap_mode="r")[:n_samples].copy()
    tell("started")

    def timed(**options: Any) -> list[float]:
        times = []
        for seed in range(repeats):
            begin = clock()
            _core.semi_nmf(X, matrix.n_components, l1=2.0, seed=seed, n_threads=n_threads, **options)
            times.append(clock() - begin)
        return times

    return {"fit": timed(), "passes": timed(n_init=1, init="random", max_iter=ITERATIONS, tol=0)}


def slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """The exponent of the power law through the points."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def plot(sizes: Sequence[int], curves: dict[str, Sequence[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for label, times in curves.items():
        axes.loglog(sizes, times, "o-", label=f"{label}, slope {slope(sizes, times):.2f}")
    axes.loglog(sizes, times[-1] * np.array(sizes) / sizes[-1], "--", color="grey", label="slope 1")
    axes.set(xlabel="samples M", ylabel="seconds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def table(runner: Runner, data: Data, sizes: Sequence[int], threads: Iterable[int], repeats: int) -> Iterable[Section]:
    rows, records = [], []
    columns = ["M", "D x K", "threads", "whole fit, s", f"{ITERATIONS} passes, s"]
    n_threads = max(threads)
    for M in sizes:
        found = runner.measure(
            "growth:run", n_threads=n_threads, timeout=300, ours=True,
            data=asdict(data), n_samples=M, repeats=repeats,
        )  # fmt: skip
        if not found or "fit" not in found:
            continue
        records.append({"n_samples": M, "threads": n_threads, **found})
        shape = f"{data.n_features} x {data.n_components}"
        rows.append([str(M), shape, str(n_threads), seconds(found["fit"]), seconds(found["passes"])])
    text = "Fits of the first M samples of one matrix."
    if len(records) > 1:
        measured = [r["n_samples"] for r in records]
        curves = {
            "whole fit": [median(r["fit"]) for r in records],
            f"{ITERATIONS} passes": [median(r["passes"]) for r in records],
        }
        path = folder() / "growth.png"
        plot(measured, curves, path)
        slopes = {label: slope(measured, times) for label, times in curves.items()}
        records.append({"slopes": slopes})
        text += f" Exponents of M: {', '.join(f'{k} {v:.2f}' for k, v in slopes.items())}. Plot: {path.name}."
    yield Section("growth", "Growth with the number of samples", text, columns, rows, records)
