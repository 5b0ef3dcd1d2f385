"""Largest norms, overlap and relative error: against plain numpy."""

import numpy as np
import pytest

from coxlmm import _core


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_largest_norm(dtype):
    x = np.random.default_rng(0).standard_normal((60, 13)).astype(dtype)
    x[40] = x[7] = 3 * x[7]  # a tie
    dictionary, indices = _core.largest_norm(x, 9, n_threads=2)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    assert indices.dtype == np.int64
    assert np.array_equal(indices, np.argsort(-norms, kind="stable")[:9])
    assert dictionary.dtype == dtype
    assert np.allclose(dictionary, (x / norms[:, None])[indices], rtol=1e-6)


def test_largest_norm_refuses_zero_samples():
    x = np.zeros((5, 3))
    x[2] = 1
    assert np.array_equal(_core.largest_norm(x, 1)[1], [2])
    with pytest.raises(ValueError, match="n_components is 2 but only 1"):
        _core.largest_norm(x, 2)
    with pytest.raises(ValueError, match="n_components is 6"):
        _core.largest_norm(x, 6)


def overlap_by_pairs(tokens):
    sets = [set(map(int, row)) for row in tokens]
    shares = [[len(a & b) / len(a) for j, b in enumerate(sets) if j != k] for k, a in enumerate(sets)]
    return float(np.mean(shares))


def test_overlap():
    rng = np.random.default_rng(1)
    tokens = np.stack([rng.choice(30, 8, replace=False) for _ in range(6)])
    assert 0 < _core.overlap(tokens) < 1
    assert _core.overlap(tokens) == pytest.approx(overlap_by_pairs(tokens))
    ragged = [row[: 3 + k].tolist() for k, row in enumerate(tokens)]
    assert _core.overlap(ragged) == pytest.approx(overlap_by_pairs(ragged))
    assert _core.overlap(np.arange(12).reshape(3, 4)) == 0
    assert _core.overlap([[1, 2], [2, 1]]) == 1
    with pytest.raises(ValueError, match="at least 2"):
        _core.overlap([[1, 2]])
    with pytest.raises(ValueError, match="concept 1 has no tokens"):
        _core.overlap([[1, 2], []])
    with pytest.raises(TypeError):
        _core.overlap(np.ones((2, 3)))


def test_overlap_of_what_ground_text_finds():
    rng = np.random.default_rng(2)
    dictionary = rng.standard_normal((4, 10))
    tokens, _ = _core.ground_text(np.vstack([dictionary, dictionary]), rng.standard_normal((50, 10)), 5)
    # Every concept is there twice: one of the seven others has all its words.
    assert _core.overlap(tokens) >= 1 / 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relative_error(dtype):
    rng = np.random.default_rng(3)
    codes, dictionary = rng.random((150, 4)), rng.standard_normal((4, 37))
    x = (codes @ dictionary + 0.3 * rng.standard_normal((150, 37))).astype(dtype)
    expected = np.sum((x - codes @ dictionary) ** 2) / np.sum(x.astype(np.float64) ** 2)
    assert _core.relative_error(x, codes, dictionary, n_threads=2) == pytest.approx(expected, rel=1e-5)
    assert _core.relative_error(x, 0 * codes, dictionary) == pytest.approx(1)
    assert _core.relative_error(codes @ dictionary, codes, dictionary) < 1e-25
    with pytest.raises(ValueError, match=r"150 x 37.*149 x 4"):
        _core.relative_error(x, codes[1:], dictionary)
    with pytest.raises(ValueError, match="X is zero"):
        _core.relative_error(0 * x, codes, dictionary)
