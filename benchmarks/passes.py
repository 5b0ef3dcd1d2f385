"""One full pass over X beside what this machine can do at best: floating-point operations at the peak of its own matrix
product, or one read of X at its own bandwidth, both measured in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import Data
from benchmarks.runner import Runner
from benchmarks.tables import Section, ratio, seconds
from benchmarks.worker import tell

ITERATIONS = 40
WARM = 5  # iterations that are not counted


def _fastest(call: Callable[[], Any], clock: Callable[[], float], repeats: int = 15) -> float:
    call()
    times = []
    for _ in range(repeats):
        begin = clock()
        call()
        times.append(clock() - begin)
    return min(times)


def floor(X: np.ndarray, n_threads: int, clock: Callable[[], float]) -> dict[str, float]:
    """Peak of the matrix product in flop/s and bandwidth of a read of X in B/s: the better one of numpy's and torch's
    library."""
    import torch

    torch.set_num_threads(n_threads)
    n = 2048
    A = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    B = A.T.copy()
    tensors = torch.from_numpy(A), torch.from_numpy(B)
    product = min(_fastest(lambda: A @ B, clock), _fastest(lambda: torch.mm(*tensors), clock))
    flat = X.reshape(-1)
    tensor = torch.from_numpy(flat)
    read = min(_fastest(lambda: flat @ flat, clock), _fastest(lambda: torch.dot(tensor, tensor), clock))
    return {"flops": 2 * n**3 / product, "bandwidth": X.nbytes / read}


def run(data: dict[str, Any], n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker: times of the iterations of a long fit, and the floor of one."""
    from coxlmm import _core

    matrix = Data(**data)
    X, K = matrix.load(), matrix.n_components
    tell("started")
    best = floor(X, n_threads, clock)
    times: list[float] = []
    found = _core.semi_nmf(
        X, K, l1=2.0, init="random", n_init=1, max_iter=ITERATIONS, tol=0, seed=0, n_threads=n_threads,
        callback=lambda *_: times.append(clock()),
    )  # fmt: skip
    again = floor(X, n_threads, clock)
    best = {name: max(value, again[name]) for name, value in best.items()}
    passes = np.diff(times)[WARM:]
    return {
        **best,
        "passes": passes.tolist(),
        "products": 4 * X.shape[0] * X.shape[1] * K / best["flops"],
        "read": X.nbytes / best["bandwidth"],
        "density": float(np.mean(found.codes > 0)),
    }


def table(runner: Runner, cells: Iterable[Data], threads: Iterable[int]) -> Iterable[Section]:
    cells = list(cells)
    rows, records = [], []
    columns = ["data", "M x D x K", "threads", "pass, ms", "floor, ms", "pass / floor", "GEMM peak", "read", "active"]
    for n_threads in threads:
        for data in cells:
            found = runner.measure("passes:run", n_threads=n_threads, timeout=300, ours=True, data=asdict(data))
            record = {"data": data.label, "size": data.size, "threads": n_threads, **(found or {"note": "not run"})}
            if "passes" in record:
                record["floor"] = max(record["products"], record["read"])
                record["ratio"] = median(record["passes"]) / record["floor"]
            records.append(record)
            measured = "floor" in record
            rows.append(
                [
                    data.label, data.size, str(n_threads), seconds(record.get("passes"), scale=1e3),
                    seconds([record["floor"]], scale=1e3) if measured else "-", ratio(record.get("ratio")),
                    f"{record['flops'] / 1e9:.0f} Gflop/s" if measured else "-",
                    f"{record['bandwidth'] / 1e9:.1f} GB/s" if measured else record.get("error", "-")[-80:],
                    f"{record['density']:.0%}" if measured else "-",
                ]
            )  # fmt: skip
            yield Section("pass", "One full pass against the floor", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    f"Differences of the times at which the callback sees the iterations of one long fit ({ITERATIONS} iterations, "
    f"the first {WARM} left out, one start): median [least-most]. The floor is the larger one of 4 M D K flops at "
    "the peak of a square product of 2048 (numpy's or torch's, the faster) and one read of X (a dot product of X "
    "with itself), both before and after the fit, the best counts. Zero codes are skipped in half of the work, so "
    "that a pass can be below the floor. 'active' is the share of codes that are not zero."
)
