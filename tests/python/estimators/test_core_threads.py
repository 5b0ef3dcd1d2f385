"""Same seed, same bits: whatever the number of threads, and whatever else runs at the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from planted import planted

from coxlmm import _core

N_THREADS = (1, 2, 3)


def problems():
    """Of different shapes and precisions, so that fits do not run in step; more rows than one tile has."""
    for seed, (shape, dtype) in enumerate([((300, 40, 5), np.float32), ((170, 90, 8), np.float64)] * 2):
        yield planted(*shape, seed=seed, dtype=dtype), shape[2], seed


def solve(problem, n_threads):
    X, k, seed = problem
    fit = _core.semi_nmf(X, k, l1=0.5, seed=seed, max_iter=15, n_threads=n_threads)
    codes = _core.sparse_encode(X, fit.dictionary, l1=0.3, n_threads=n_threads).codes
    tokens, scores = _core.ground_text(fit.dictionary, X, 5, n_threads=n_threads)
    return [fit.codes, fit.dictionary, fit.history, codes, tokens, scores]


@pytest.fixture(scope="module")
def alone():
    return [solve(problem, 1) for problem in problems()]


def assert_same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_the_bits_do_not_depend_on_the_number_of_threads(alone, n_threads):
    for problem, expected in zip(problems(), alone, strict=True):
        assert_same_bits(solve(problem, n_threads), expected)


@pytest.mark.parametrize("n_threads", N_THREADS)
def test_the_bits_do_not_depend_on_other_fits_at_the_same_time(alone, n_threads):
    jobs = list(problems())
    barrier = Barrier(len(jobs))

    def run(problem):
        barrier.wait(timeout=60)
        return [solve(problem, n_threads) for _ in range(3)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        for repeats, expected in zip(pool.map(run, jobs), alone, strict=True):
            for found in repeats:
                assert_same_bits(found, expected)


def test_fits_of_one_array_at_the_same_time(alone):
    (X, k, seed), *_ = problems()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda n: solve((X, k, seed), n), [1, 2, 3, 2]):
            assert_same_bits(found, alone[0])
