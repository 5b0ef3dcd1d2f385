"""PCA, k-means and NMF beside the libraries that have them: time of a fit, and what it reached."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import Data
from benchmarks.runner import Runner
from benchmarks.solvers import objective
from benchmarks.tables import Section, ratio, seconds
from benchmarks.worker import tell

Fitted = Callable[[np.ndarray, int, int, int], Any]  # (X, K, seed, n_threads)


def _ours(name: str, **options: Any) -> Fitted:
    def fit(X: np.ndarray, K: int, seed: int, n_threads: int) -> np.ndarray:
        from coxlmm import estimators

        return getattr(estimators, name)(K, random_state=seed, n_jobs=n_threads, **options).fit(X).components_

    return fit


def _sklearn_pca(X: np.ndarray, K: int, seed: int, n_threads: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(K, random_state=seed).fit(X).components_


def _sklearn_kmeans(X: np.ndarray, K: int, seed: int, n_threads: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(K, n_init=10, random_state=seed).fit(X).cluster_centers_


def _sklearn_nmf(X: np.ndarray, K: int, seed: int, n_threads: int) -> np.ndarray:
    from sklearn.decomposition import NMF

    return NMF(K, random_state=seed).fit(X).components_


def _torchnmf(X: np.ndarray, K: int, seed: int, n_threads: int) -> np.ndarray:
    import torch
    from torchnmf.nmf import NMF

    torch.set_num_threads(n_threads)
    torch.manual_seed(seed)
    model = NMF(X.shape, rank=K)
    model.fit(torch.from_numpy(X), beta=2)
    return model.W.detach().numpy().T.copy()


def _residual(X: np.ndarray, components: np.ndarray) -> float:
    """What PCA minimises: the squared distance to the plane through the mean."""
    centred = X.astype(np.float64)
    centred -= centred.mean(axis=0)
    orthonormal = np.linalg.qr(components.astype(np.float64).T)[0]
    return float(np.sum(centred**2) - np.sum((centred @ orthonormal) ** 2))


def _inertia(X: np.ndarray, centers: np.ndarray) -> float:
    from sklearn.metrics import pairwise_distances_argmin_min

    nearest, _ = pairwise_distances_argmin_min(X, centers)
    return float(np.sum((X.astype(np.float64) - centers.astype(np.float64)[nearest]) ** 2))


def _nonnegative(X: np.ndarray, components: np.ndarray) -> float:
    return objective(X, components, 0.0)


# What is fitted: who fits it (coxlmm first), and the objective.
FITS: dict[str, tuple[dict[str, Fitted], Callable[[np.ndarray, np.ndarray], float]]] = {
    "PCA": ({"coxlmm": _ours("PCA"), "sklearn": _sklearn_pca}, _residual),
    "KMeans": ({"coxlmm": _ours("KMeans"), "sklearn": _sklearn_kmeans}, _inertia),
    "NMF": (
        {"coxlmm": _ours("NMF", l1=0.0), "sklearn": _sklearn_nmf, "torchnmf": _torchnmf},
        _nonnegative,
    ),
}


def run(
    data: dict[str, Any], kind: str, solver: str, repeats: int, n_threads: int, clock: Callable[[], float]
) -> dict[str, Any]:
    """The task of a worker: fits over seeds."""
    matrix = Data(**data)
    X = matrix.load()
    solvers, judge = FITS[kind]
    tell("started")
    times, objectives = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(repeats):
            begin = clock()
            components = solvers[solver](X, matrix.n_components, seed, n_threads)
            times.append(clock() - begin)
            objectives.append(judge(X, components))
            tell("partial", {"times": times, "objectives": objectives})
            if times[-1] > 20:
                break
    return {"times": times, "objectives": objectives}


def table(
    runner: Runner, signed: Iterable[Data], nonnegative: Iterable[Data], threads: Iterable[int], repeats: int
) -> Iterable[Section]:
    rows, records = [], []
    columns = ["fit", "data", "M x D x K", "threads", "solver", "seconds", "coxlmm is faster by", "objective", "note"]
    cells = [*((kind, data) for kind in ("PCA", "KMeans") for data in signed), *(("NMF", d) for d in nonnegative)]
    for n_threads in threads:
        for kind, data in cells:
            ours: dict[str, Any] = {}
            for solver in FITS[kind][0]:
                found = runner.measure(
                    "siblings:run", n_threads=n_threads, timeout=120, ours=solver == "coxlmm",
                    data=asdict(data), kind=kind, solver=solver, repeats=repeats,
                ) or {"note": "not run"}  # fmt: skip
                record = {
                    "fit": kind, "data": data.label, "size": data.size, "threads": n_threads, "solver": solver, **found,
                }  # fmt: skip
                if solver == "coxlmm":
                    ours = record
                elif record.get("times") and ours.get("times"):
                    record["ratio"] = median(record["times"]) / median(ours["times"])
                    record["objective_ratio"] = median(ours["objectives"]) / median(record["objectives"])
                records.append(record)
                note = record.get("note") or record.get("error", "").strip().rpartition("\n")[2][-80:]
                rows.append(
                    [
                        kind, data.label, data.size, str(n_threads), solver, seconds(record.get("times")),
                        ratio(record.get("ratio")),
                        f"{median(record['objectives']):.8g}" if record.get("objectives") else "-", note,
                    ]
                )  # fmt: skip
            yield Section("siblings", "PCA, k-means and NMF", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    "Whole fits at the defaults (k-means: 10 starts each), over seeds: median [least-most]. The objective, their "
    "median, is computed in double for everybody: the squared distance to the principal plane, to the nearest "
    "center, and to the best nonnegative combination."
)
