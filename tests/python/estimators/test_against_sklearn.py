"""The objective against scikit-learn's dictionary learning, which minimises half of it at alpha = l1 / 2."""

import warnings

import numpy as np
import pytest
from planted import objective, planted
from sklearn.decomposition import DictionaryLearning, SparseCoder

from coxlmm.estimators import SemiNMF


def ratio(shape, l1, seed):
    """Our objective over scikit-learn's, on the same data."""
    X = planted(*shape, seed=seed, noise=0.1)
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
        peer_codes = peer.fit(X).transform(X)
    model = SemiNMF(shape[2], l1=l1, random_state=seed)
    codes = model.fit_transform(X)
    return objective(X, codes, model.components_, l1) / objective(X, peer_codes, peer.components_, l1)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("l1", [0.2, 0.5, 2.0])
@pytest.mark.parametrize("shape", [(60, 20, 4), (120, 40, 8), (160, 50, 12)], ids=str)
def test_objective_is_no_worse_than_dictionary_learning(shape, l1, seed):
    assert ratio(shape, l1, seed) <= 1.001


# Few samples a concept, or more concepts than features: many minima, and either solver may find the better one.
@pytest.mark.parametrize(("shape", "l1"), [((50, 100, 10), 2.0), ((80, 64, 20), 2.0), ((60, 5, 9), 2.0)], ids=str)
def test_objective_is_no_worse_in_the_middle_of_hard_problems(shape, l1):
    assert np.median([ratio(shape, l1, seed) for seed in range(5)]) <= 1.001


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
