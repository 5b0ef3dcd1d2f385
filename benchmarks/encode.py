"""Codes of new samples for a given dictionary: a batch, and one sample from Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import Data, l1_of
from benchmarks.runner import Runner
from benchmarks.tables import Section, ratio, seconds
from benchmarks.worker import tell

Encoder = Callable[[np.ndarray], np.ndarray]


def _coxlmm(atoms: np.ndarray, l1: float, n_threads: int) -> Encoder:
    from coxlmm import _core

    return lambda x: _core.sparse_encode(x, atoms, l1=l1, n_threads=n_threads).codes


def _encoder(atoms: np.ndarray, l1: float, n_threads: int) -> Encoder:
    """What keeps the products of the dictionary between calls."""
    from coxlmm import _core

    encoder = _core.SparseEncoder(atoms, l1=l1, n_threads=n_threads)
    return lambda x: encoder.encode(x).codes


def _estimator(atoms: np.ndarray, l1: float, n_threads: int) -> Encoder:
    """SemiNMF.transform with all that scikit-learn's contract asks to be checked."""
    from coxlmm import SemiNMF

    model = SemiNMF(len(atoms), l1=l1, init=atoms, max_iter=1, n_jobs=n_threads)
    model.fit(np.eye(len(atoms), atoms.shape[1], dtype=atoms.dtype))
    model.components_ = atoms
    return model.transform


def _sklearn(atoms: np.ndarray, l1: float, n_threads: int) -> Encoder:
    from sklearn.decomposition import sparse_encode

    gram = atoms @ atoms.T  # given, as it can be kept between calls
    return lambda x: sparse_encode(
        x, atoms, gram=gram, algorithm="lasso_cd", alpha=l1 / 2, positive=True, max_iter=10_000, check_input=False
    )


def _spams(atoms: np.ndarray, l1: float, n_threads: int) -> Encoder:
    import spams

    columns = np.asfortranarray(atoms.T)
    return lambda x: spams.lasso(
        np.asfortranarray(x.T), D=columns, lambda1=l1 / 2, mode=2, pos=True, numThreads=n_threads
    ).T.toarray()


ENCODERS: dict[str, Callable[[np.ndarray, float, int], Encoder]] = {
    "coxlmm": _coxlmm,
    "SparseEncoder": _encoder,
    "SemiNMF.transform": _estimator,
    "sklearn lasso_cd": _sklearn,
    "SPAMS lasso": _spams,
}
PEERS = ["sklearn lasso_cd", "SPAMS lasso"]
OURS_ONE = ["SparseEncoder", "SemiNMF.transform"]


def kkt_residual(X: np.ndarray, codes: np.ndarray, atoms: np.ndarray, l1: float) -> float:
    """The largest violation of optimality, in double and without any solver's own figures: the gradient must be 0 where
    a code is positive and must not point downhill where it is 0. Relative to ``2 ||x||``."""
    X, codes, atoms = (np.asarray(a, np.float64) for a in (X, codes, atoms))
    gradient = 2 * (codes @ atoms - X) @ atoms.T + l1
    violation = np.where(codes > 0, np.abs(gradient), np.maximum(-gradient, 0))
    return float(np.max(violation / (2 * np.linalg.norm(X, axis=1, keepdims=True))))


def _objective(X: np.ndarray, codes: np.ndarray, atoms: np.ndarray, l1: float) -> float:
    X, codes, atoms = (np.asarray(a, np.float64) for a in (X, codes, atoms))
    return float(np.sum((X - codes @ atoms) ** 2) + l1 * codes.sum())


def _problem(data: dict[str, Any], l1: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples and a dictionary fitted to them."""
    from coxlmm import _core

    matrix = Data(**data)
    X = matrix.load()
    return X, _core.semi_nmf(X, matrix.n_components, l1=l1, max_iter=10, seed=0).dictionary


def batch(data: dict[str, Any], encoder: str, l1: float, n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker: all samples at once, a few times over."""
    X, atoms = _problem(data, l1)
    encode = ENCODERS[encoder](atoms, l1, n_threads)
    tell("started")
    times: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(times) < 3 or (sum(times) < 1 and len(times) < 20):
            begin = clock()
            codes = encode(X)
            times.append(clock() - begin)
    return {
        "times": times,
        "kkt": kkt_residual(X, codes, atoms, l1),
        "objective": _objective(X, codes, atoms, l1),
    }


def single(data: dict[str, Any], encoder: str, l1: float, n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker: one sample after another, each timed."""
    X, atoms = _problem(data, l1)
    encode = ENCODERS[encoder](atoms, l1, n_threads)
    tell("started")
    times: list[float] = []
    flat = encoder == "SparseEncoder"  # takes a vector; the others take a matrix of one row
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(times) < 100 or (sum(times) < 1 and len(times) < 5000):
            x = X[len(times) % len(X)] if flat else X[len(times) % len(X)][None]
            begin = clock()
            encode(x)
            times.append(clock() - begin)
    return {"times": np.quantile(times[20:], [0.25, 0.5, 0.75]).tolist()}


def _missing(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not run"
    return result["error"].strip().splitlines()[-1][-100:] if "error" in result else ""


def batch_table(runner: Runner, cells: Iterable[Data], threads: Iterable[int]) -> Iterable[Section]:
    cells = list(cells)
    rows, records = [], []
    columns = ["data", "M x D x K", "threads", "encoder", "ms", "coxlmm is faster by", "KKT residual", "objective"]
    for n_threads in threads:
        for data in cells:
            ours: dict[str, Any] | None = None
            for encoder in ["coxlmm", *PEERS]:
                found = runner.measure(
                    "encode:batch", n_threads=n_threads, timeout=120, ours=encoder == "coxlmm",
                    data=asdict(data), encoder=encoder, l1=l1_of(data),
                )  # fmt: skip
                ours = found if encoder == "coxlmm" else ours
                record = {"data": data.label, "size": data.size, "threads": n_threads, "encoder": encoder}
                record.update(found or {})
                if encoder != "coxlmm" and found and ours and "times" in found and "times" in ours:
                    record["ratio"] = median(found["times"]) / median(ours["times"])
                    record["objective_ratio"] = ours["objective"] / found["objective"]
                records.append(record)
                rows.append(
                    [
                        data.label, data.size, str(n_threads), encoder, seconds(record.get("times"), scale=1e3),
                        ratio(record.get("ratio")), f"{record['kkt']:.1e}" if "kkt" in record else "-",
                        f"{record['objective']:.8g}" if "objective" in record else _missing(found),
                    ]
                )  # fmt: skip
            yield Section("encode", "Encode a batch", _BATCH, columns, rows, records)


def single_table(runner: Runner, cells: Iterable[Data]) -> Iterable[Section]:
    rows, records = [], []
    columns = ["data", "D", "K", "encoder", "microseconds", "note"]
    for data in cells:
        for encoder in [*OURS_ONE, *PEERS]:
            found = runner.measure(
                "encode:single", n_threads=1, timeout=120, ours=encoder in OURS_ONE,
                data=asdict(data), encoder=encoder, l1=l1_of(data),
            )  # fmt: skip
            record = {"data": data.label, "size": data.size, "encoder": encoder, **(found or {})}
            records.append(record)
            rows.append(
                [
                    data.label, str(data.n_features), str(data.n_components), encoder,
                    seconds(record.get("times"), scale=1e6), _missing(found),
                ]
            )  # fmt: skip
        yield Section("one", "Encode one sample", _SINGLE, columns, rows, records)


_BATCH = (
    "All samples at once: median [least-most] of repeated calls in one process. scikit-learn gets the Gram matrix "
    "of the dictionary. The KKT residual and the objective are computed from the codes in double, by the same code "
    "for everybody."
)
_SINGLE = (
    "One sample a call from Python, one thread, everything included that the call does: median [quartiles]. "
    "SparseEncoder and SPAMS are called with what their fastest call takes; SemiNMF.transform checks its input as "
    "scikit-learn asks."
)
