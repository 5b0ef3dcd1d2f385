"""The objective against scikit-learn's dictionary learning, which minimises half of it at alpha = l1 / 2."""

import warnings
from functools import cache

import numpy as np
import pytest
from planted import objective, planted
from sklearn.decomposition import DictionaryLearning, SparseCoder

from coxlmm.estimators import SemiNMF


def data(shape, seed, offset, dtype):
    return (planted(*shape, seed=seed, noise=0.1) + offset).astype(dtype)


@cache
def peer_objective(shape, l1, seed, offset, dtype):
    """What scikit-learn reaches, in double."""
    X = data(shape, seed, offset, dtype).astype(np.float64)
    peer = DictionaryLearning(
        shape[2],
        alpha=l1 / 2,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        transform_alpha=l1 / 2,
        positive_code=True,
        max_iter=200,
        tol=1e-8,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's inner solver warns where it stops early
        # transform: the fit itself ends with codes of the dictionary before the last.
        codes = peer.fit(X).transform(X)
    return objective(X, codes, peer.components_, l1)


def ratio(shape, l1, seed, *, offset=0.0, dtype=np.float64, n_init=8):
    """Our objective over scikit-learn's, on the same data."""
    X = data(shape, seed, offset, dtype)
    model = SemiNMF(shape[2], l1=l1, n_init=n_init, random_state=seed)
    codes = model.fit_transform(X)
    return objective(X, codes, model.components_, l1) / peer_objective(shape, l1, seed, offset, dtype)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("l1", [0.2, 0.5, 2.0])
@pytest.mark.parametrize("shape", [(60, 20, 4), (120, 40, 8), (160, 50, 12)], ids=str)
def test_objective_is_no_worse_than_dictionary_learning(shape, l1, seed):
    assert ratio(shape, l1, seed) <= 1.001


# Single precision, and a mean that holds nearly all of the energy, as states of language models have. At the larger
# offsets an error taken from correlations in float would end the fit early, 0.05 to 0.08 % higher.
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("shape", "offset", "bound"),
    [((120, 40, 8), 5.0, 1.001), ((60, 20, 4), 300.0, 1.0004), ((100, 20, 4), 1000.0, 1.0004)],
    ids=str,
)
def test_single_precision_is_no_worse_far_from_the_origin(shape, offset, bound, seed):
    assert ratio(shape, 0.5, seed, offset=offset, dtype=np.float32) <= bound


# Few samples a concept, or more concepts than features: many minima, and either solver may find the better one. With
# the default number of starts 3 of these 15 were worse than scikit-learn, by 0.3 to 1.2 %; more starts close the gap.
HARD = pytest.mark.parametrize(("shape", "l1"), [((50, 100, 10), 2.0), ((80, 64, 20), 2.0), ((60, 5, 9), 2.0)], ids=str)


@HARD
def test_objective_on_hard_problems(shape, l1):
    ratios = [ratio(shape, l1, seed) for seed in range(5)]
    assert np.median(ratios) <= 1.001
    assert max(ratios) <= 1.03


@HARD
def test_objective_is_no_worse_on_any_hard_problem_with_more_starts(shape, l1):
    assert max(ratio(shape, l1, seed, n_init=32) for seed in range(5)) <= 1.005


def test_codes_are_those_of_sparse_coder():
    l1 = 0.8
    X = planted(100, 30, 6, seed=0)
    model = SemiNMF(6, l1=l1, random_state=0).fit(X)
    coder = SparseCoder(
        model.components_,
        transform_algorithm="lasso_cd",
        transform_alpha=l1 / 2,
        positive_code=True,
        transform_max_iter=10_000,
    )
    expected = coder.transform(X)
    assert np.count_nonzero(expected) > 50
    # scikit-learn stops at a relative duality gap of 1e-4.
    np.testing.assert_allclose(model.transform(X), expected, atol=2e-2 * expected.max())
    ours = objective(X, model.transform(X), model.components_, l1)
    assert ours <= objective(X, expected, model.components_, l1) * (1 + 1e-9)
