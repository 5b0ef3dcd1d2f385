"""Memory beyond X: the peak of a fit over what the process held with X loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Data
from benchmarks.runner import Runner
from benchmarks.tables import Section
from benchmarks.worker import tell

STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (at most so far), in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _c(X: np.ndarray) -> np.ndarray:
    return X


def _f(X: np.ndarray) -> np.ndarray:
    return np.asfortranarray(X)


def _strided(X: np.ndarray) -> np.ndarray:
    return np.repeat(X, 2, axis=1)[:, ::2]


def _float64(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float64)


def _float16(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float16)


def _bfloat16(X: np.ndarray) -> np.ndarray:
    import ml_dtypes

    return X.astype(ml_dtypes.bfloat16)


LAYOUTS = {
    "C order": _c,
    "Fortran order": _f,
    "every second column": _strided,
    "float64": _float64,
    "float16": _float16,
    "bfloat16": _bfloat16,
}


def _coxlmm(X: np.ndarray, K: int, n_threads: int) -> None:
    from coxlmm import SemiNMF

    SemiNMF(K, l1=2.0, random_state=0, max_iter=10, n_jobs=n_threads).fit(X)


def _spams(X: np.ndarray, K: int, n_threads: int) -> None:
    import spams

    spams.trainDL(
        np.asfortranarray(X.T), K=K, lambda1=1.0, iter=25, mode=2, posAlpha=True, numThreads=n_threads, verbose=False
    )


def _minibatch(X: np.ndarray, K: int, n_threads: int) -> None:
    from sklearn.decomposition import MiniBatchDictionaryLearning

    MiniBatchDictionaryLearning(K, alpha=1.0, fit_algorithm="cd", positive_code=True, max_iter=1, random_state=0).fit(X)


FITS = {"coxlmm": _coxlmm, "SPAMS": _spams, "sklearn minibatch": _minibatch}


def run(data: dict[str, Any], solver: str, layout: str, n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker. A small fit beforehand loads what every fit needs."""
    matrix = Data(**data)
    X = LAYOUTS[layout](matrix.load())
    FITS[solver](np.ascontiguousarray(X[:256, :256]), min(matrix.n_components, 8), n_threads)
    tell("started")
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    FITS[solver](X, matrix.n_components, n_threads)
    return {"bytes": X.shape[0] * X.shape[1] * X.itemsize, "beyond": max(resident("VmHWM") - before, 0)}


def table(runner: Runner, data: Data, threads: Iterable[int]) -> Iterable[Section]:
    rows, records = [], []
    columns = ["M x D x K", "threads", "solver", "X", "X, MB", "beyond X, MB", "share of X"]
    n_threads = max(threads)
    ours, peers = [("coxlmm", layout) for layout in LAYOUTS], [(s, "C order") for s in FITS if s != "coxlmm"]
    for solver, layout in [*ours, *peers]:
        found = runner.measure(
            "memory:run", n_threads=n_threads, timeout=120, ours=solver == "coxlmm",
            data=asdict(data), solver=solver, layout=layout,
        )  # fmt: skip
        record = {"size": data.size, "threads": n_threads, "solver": solver, "layout": layout, **(found or {})}
        if "beyond" in record:
            record["share"] = record["beyond"] / record["bytes"]
        records.append(record)
        rows.append(
            [
                data.size, str(n_threads), solver, layout,
                f"{record['bytes'] / 1e6:.0f}" if "bytes" in record else "-",
                f"{record['beyond'] / 1e6:.1f}" if "beyond" in record else record.get("error", "-").strip()[-80:],
                f"{record['share']:.1%}" if "share" in record else "-",
            ]
        )  # fmt: skip
        yield Section("memory", "Memory beyond X", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    "The largest resident size during a fit (Linux's VmHWM, reset before it) minus the size with X loaded and after "
    "a small fit. coxlmm's fit is SemiNMF's of ten iterations, its codes and dictionary included; SPAMS runs 25 "
    "iterations, scikit-learn one epoch."
)
