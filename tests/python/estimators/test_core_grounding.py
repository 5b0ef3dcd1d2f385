"""Top words of concepts, top samples of concepts, top concepts of samples: against plain numpy."""

import numpy as np
import pytest

from coxlmm import _core


def top_by_numpy(scores, n):
    """The n largest of every row, larger first, ties by lower index."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_ground_text_is_the_top_of_the_product(dtype, n_threads):
    # Small integers, so that every product is exact and ties are frequent.
    rng = np.random.default_rng(0)
    dictionary = rng.integers(-3, 4, (7, 12)).astype(dtype)
    unembedding = rng.integers(-3, 4, (5003, 12)).astype(dtype)
    tokens, scores = _core.ground_text(dictionary, unembedding, 9, n_threads=n_threads)
    expected_tokens, expected_scores = top_by_numpy(dictionary @ unembedding.T, 9)
    assert tokens.dtype == np.int64
    assert scores.dtype == dtype
    assert np.array_equal(tokens, expected_tokens)
    assert np.array_equal(scores, expected_scores)


def test_ground_text_computes_in_the_precision_of_the_unembedding():
    rng = np.random.default_rng(0)
    dictionary, unembedding = rng.standard_normal((3, 8)), rng.standard_normal((50, 8)).astype(np.float32)
    tokens, scores = _core.ground_text(dictionary, unembedding, 4)
    assert scores.dtype == np.float32
    assert np.array_equal(tokens, top_by_numpy(dictionary @ unembedding.T, 4)[0])
    assert np.array_equal(_core.ground_text(dictionary, np.asfortranarray(unembedding), 4)[0], tokens)


def test_max_activating_and_most_activating_concepts():
    codes = np.random.default_rng(1).integers(0, 5, (60, 11)).astype(np.float64)
    for found, expected in (
        (_core.max_activating(codes, 6), top_by_numpy(codes.T, 6)),
        (_core.most_activating_concepts(codes, 4), top_by_numpy(codes, 4)),
        (_core.most_activating_concepts(codes[::-1, ::2], 4), top_by_numpy(codes[::-1, ::2], 4)),
    ):
        assert found[0].dtype == np.int64
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_too_many_or_too_few_are_refused():
    codes = np.ones((5, 3))
    for call, asked, there in (
        (lambda n: _core.max_activating(codes, n), 6, 5),
        (lambda n: _core.most_activating_concepts(codes, n), 4, 3),
        (lambda n: _core.ground_text(codes, codes, n), 6, 5),
    ):
        with pytest.raises(ValueError, match=rf"(?s){asked}.*{there}"):
            call(asked)
        with pytest.raises(ValueError, match="0"):
            call(0)
    with pytest.raises(ValueError, match=r"(?s)3.*2|2.*3"):
        _core.ground_text(codes, np.ones((9, 2)), 1)
