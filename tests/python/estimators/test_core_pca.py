"""Principal components against scikit-learn and against their definition."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from coxlmm import _core


def decaying(n_samples, n_features, decay=0.7, offset=0.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    rank = min(n_samples, n_features, 30)
    scores = rng.standard_normal((n_samples, rank)) * decay ** np.arange(rank)
    return (scores @ rng.standard_normal((rank, n_features)) + offset).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["full", "randomized"])
@pytest.mark.parametrize("shape", [(300, 40), (60, 200)])
def test_agrees_with_scikit_learn(dtype, solver, shape):
    x = decaying(*shape, offset=3.0, dtype=dtype)
    found = _core.pca(x, 5, solver=solver)
    expected = PCA(5, svd_solver="full").fit(x.astype(np.float64))
    tolerance = 1e-4 if dtype == np.float32 else 1e-7
    assert found.components.dtype == found.scores.dtype == found.mean.dtype == dtype
    assert found.mean.shape == (shape[1],)
    assert np.allclose(found.mean, expected.mean_, rtol=1e-5)
    assert subspace_angles(found.components.astype(np.float64).T, expected.components_.T).max() < tolerance
    assert np.allclose(found.explained_variance, expected.explained_variance_, rtol=tolerance)
    assert np.allclose(found.explained_variance_ratio, expected.explained_variance_ratio_, rtol=tolerance)
    assert np.allclose(found.singular_values, expected.singular_values_, rtol=tolerance)
    assert found.total_variance == pytest.approx(x.astype(np.float64).var(0, ddof=1).sum(), rel=tolerance)
    # The sign is scikit-learn's too: the largest entry of a component is positive.
    assert np.allclose(found.components, expected.components_, atol=100 * tolerance)
    assert np.allclose(found.scores, expected.transform(x), atol=tolerance * expected.singular_values_[0])


def test_a_large_mean_costs_no_digits():
    x = decaying(200, 50)
    moved = x.astype(np.float32) + np.float32(1e4)  # rounds the data to 1e-3: all that may be lost
    found = _core.pca(moved, 4)
    exact = PCA(4, svd_solver="full").fit(moved.astype(np.float64))
    assert np.allclose(found.explained_variance, exact.explained_variance_, rtol=1e-5)
    assert subspace_angles(found.components.astype(np.float64).T, exact.components_.T).max() < 1e-4


def test_more_power_iterations_hold_more_variance():
    x = np.random.default_rng(1).standard_normal((700, 600))  # variances that hardly decay
    held = [
        _core.pca(x, 10, solver="randomized", n_power_iterations=n, seed=3).explained_variance.sum() for n in (0, 2, 8)
    ]
    exact = _core.pca(x, 10, solver="full").explained_variance.sum()
    assert held[0] < held[1] < held[2] <= exact * (1 + 1e-12)
    assert held[2] > 0.97 * exact


def test_the_result_does_not_depend_on_the_threads_nor_the_layout():
    x = decaying(500, 600, dtype=np.float32)
    one = _core.pca(x, 8, n_threads=1, seed=2)
    for other in (_core.pca(x, 8, n_threads=3, seed=2), _core.pca(np.asfortranarray(x), 8, n_threads=1, seed=2)):
        assert np.array_equal(one.components, other.components)
        assert np.array_equal(one.scores, other.scores)


def test_half_precision_is_read_where_it_lies():
    x = decaying(80, 30).astype(np.float16)
    assert np.array_equal(_core.pca(x, 3).components, _core.pca(x.astype(np.float32), 3).components)


def test_misuse_is_named():
    x = decaying(20, 6)
    for arguments, message in (
        ({"n_components": 7}, "n_components is 7.*20 x 6"),
        ({"n_components": 0}, "n_components is 0"),
        ({"n_components": 2, "solver": "arpack"}, "'arpack'"),
        ({"n_components": 2, "n_power_iterations": -1}, "-1"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.pca(x, **arguments)
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3, column 2"):
        _core.pca(x, 2)
