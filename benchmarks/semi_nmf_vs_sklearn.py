"""Semi-NMF against scikit-learn: time to the objective that scikit-learn ends at, both in one run on the same data.

    python benchmarks/semi_nmf_vs_sklearn.py [--threads 1] [--repeats 3] [--dtype float32]

scikit-learn's ``DictionaryLearning(positive_code=True)`` minimises half of Semi-NMF's objective at ``alpha = l1 / 2``.
Each solver starts as it does by default. scikit-learn's objective is that of its dictionary with codes solved anew for
it (untimed: a gift to scikit-learn, whose fit ends with codes of the dictionary before). coxlmm is timed from the call
to the end of the first iteration whose objective is no higher, and to its own end as well.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import DictionaryLearning
from threadpoolctl import threadpool_limits

from coxlmm import SemiNMF

SIZES = [(300, 256, 10), (500, 1024, 20), (1000, 2048, 20)]
L1 = 1.0


def states(n_samples: int, n_features: int, n_components: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Sparse nonnegative combinations of twice as many directions as are fitted, on a common offset, with noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((2 * n_components, n_features)) / n_features**0.5
    codes = rng.exponential(4.0, (n_samples, 2 * n_components)) * (rng.random((n_samples, 2 * n_components)) < 0.2)
    offset = 5 * rng.standard_normal(n_features) / n_features**0.5
    noise = 0.5 * rng.standard_normal((n_samples, n_features)) / n_features**0.5
    return (codes @ directions + offset + noise).astype(dtype)


def objective(X: np.ndarray, codes: np.ndarray, components: np.ndarray) -> float:
    X, codes, components = (a.astype(np.float64) for a in (X, codes, components))
    return float(np.sum((X - codes @ components) ** 2) + L1 * codes.sum())


def fit_sklearn(X: np.ndarray, n_components: int) -> tuple[float, float]:
    """Seconds and final objective."""
    model = DictionaryLearning(
        n_components,
        alpha=L1 / 2,
        max_iter=100,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        transform_alpha=L1 / 2,
        transform_max_iter=10_000,
        positive_code=True,
        random_state=0,
    )
    begin = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - begin
    return seconds, objective(X, model.transform(X), model.components_)


def fit_coxlmm(X: np.ndarray, n_components: int, target: float, n_threads: int) -> tuple[float | None, float, float]:
    """Seconds to the target (None if never), seconds to the end, and final objective."""
    stamps: list[tuple[float, float]] = []
    model = SemiNMF(
        n_components,
        l1=L1,
        random_state=0,
        n_jobs=n_threads,
        callback=lambda _, value: stamps.append((time.perf_counter(), value)),
    )
    begin = time.perf_counter()
    codes = model.fit_transform(X)
    seconds = time.perf_counter() - begin
    reached = next((stamp - begin for stamp, value in stamps if value <= target), None)
    return reached, seconds, objective(X, codes, model.components_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    arguments = parser.parse_args()

    title = f"l1 = {L1:g}, {arguments.dtype}, {arguments.threads} thread(s), median of {arguments.repeats}"
    table = Table(title=title)
    for heading in (
        "samples x features, concepts",
        "scikit-learn",
        "coxlmm to that objective",
        "ratio",
        "coxlmm to its end",
        "objective, coxlmm / scikit-learn",
    ):
        table.add_column(heading, justify="right")
    for n_samples, n_features, n_components in SIZES:
        X = states(n_samples, n_features, n_components, arguments.dtype)
        with warnings.catch_warnings(), threadpool_limits(arguments.threads):
            warnings.simplefilter("ignore")  # scikit-learn's inner solver warns where it stops early
            theirs = [fit_sklearn(X, n_components) for _ in range(arguments.repeats)]
            target = theirs[0][1]
            ours = [fit_coxlmm(X, n_components, target, arguments.threads) for _ in range(arguments.repeats)]
        their_seconds = median(seconds for seconds, _ in theirs)
        reached = None if ours[0][0] is None else median(reached for reached, _, _ in ours)
        table.add_row(
            f"{n_samples} x {n_features}, {n_components}",
            f"{their_seconds:.3f} s",
            "never" if reached is None else f"{reached:.4f} s",
            "-" if reached is None else f"{their_seconds / reached:.0f}x",
            f"{median(seconds for _, seconds, _ in ours):.4f} s",
            f"{ours[0][2] / target:.5f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
