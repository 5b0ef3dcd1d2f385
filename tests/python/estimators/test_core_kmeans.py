"""k-means against scikit-learn and against its definition."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from coxlmm import _core


def blobs(n_samples, n_features, n_clusters, spread, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_clusters, size=n_samples)
    x = rng.standard_normal((n_clusters, n_features))[labels] + spread * rng.standard_normal((n_samples, n_features))
    return x.astype(dtype), labels


# Few features, and as many as make the starts compete in the leading directions.
@pytest.mark.parametrize("n_features", [15, 400])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_inertia_is_as_low_as_that_of_scikit_learn(n_features, spread):
    for seed in range(3):
        x, _ = blobs(600, n_features, 12, spread, seed, np.float32)
        found = _core.kmeans(x, 12, seed=seed)
        peer = KMeans(12, n_init=10, random_state=seed).fit(x)
        assert found.inertia < 1.01 * peer.inertia_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_end_is_a_fixed_point(dtype):
    x, labels = blobs(400, 30, 6, 0.3, dtype=dtype)
    x += dtype(100)
    found = _core.kmeans(x, 6, tol=0)
    assert found.stop == "converged"
    assert found.centers.dtype == dtype
    assert found.labels.dtype == found.counts.dtype == np.int64
    assert adjusted_rand_score(labels, found.labels) == 1
    wide = x.astype(np.float64)
    distances = np.linalg.norm(wide[:, None] - found.centers.astype(np.float64), axis=2)
    assert np.array_equal(distances.argmin(1), found.labels)
    assert found.inertia == pytest.approx((distances.min(1) ** 2).sum(), rel=1e-4)
    assert np.array_equal(np.bincount(found.labels, minlength=6), found.counts)
    for k in range(6):
        assert np.allclose(found.centers[k], wide[found.labels == k].mean(0), rtol=1e-6)
    assert len(found.history) == found.n_iter + 1
    assert found.history[-1] == found.inertia


def test_from_given_centers_the_iterations_are_those_of_scikit_learn():
    x, _ = blobs(300, 10, 5, 1.0)
    start = x[[3, 50, 51, 200, 299]]
    found = _core.kmeans(x, 5, init=start, tol=0)
    peer = KMeans(5, init=start, n_init=1, tol=0, algorithm="lloyd").fit(x)
    assert np.array_equal(found.labels, peer.labels_)
    assert np.allclose(found.centers, peer.cluster_centers_)
    assert found.inertia == pytest.approx(peer.inertia_)
    assert np.array_equal(_core.kmeans(x, 5, init=start.tolist(), tol=0).labels, found.labels)
    assert np.array_equal(
        _core.kmeans(x.astype(np.float32), 5, init=start.astype(np.float16), tol=0).labels, found.labels
    )


def test_the_result_does_not_depend_on_the_threads_nor_the_layout():
    x, _ = blobs(500, 300, 9, 1.0, dtype=np.float32)
    one = _core.kmeans(x, 9, n_threads=1, seed=2)
    for other in (_core.kmeans(x, 9, n_threads=3, seed=2), _core.kmeans(np.asfortranarray(x), 9, n_threads=1, seed=2)):
        assert np.array_equal(one.centers, other.centers)
        assert np.array_equal(one.labels, other.labels)
    assert _core.kmeans(x, 9, seed=2, max_iter=1, n_init=1, init=x[:9]).stop == "max_iter"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_one_over_one_plus_the_distance(dtype):
    x, _ = blobs(90, 21, 4, 0.5, dtype=dtype)
    centers = x[:7] + dtype(1e-3)
    found = _core.kmeans_activations(x, centers, n_threads=2)
    wide = np.linalg.norm(x.astype(np.float64)[:, None] - centers.astype(np.float64), axis=2)
    assert found.dtype == dtype
    assert np.allclose(found, 1 / (1 + wide), rtol=1e-5)
    assert np.array_equal(np.diag(_core.kmeans_activations(x[:7], x[:7])), np.ones(7))


def test_misuse_is_named():
    x, _ = blobs(20, 6, 3, 0.5)
    for arguments, message in (
        ({"n_clusters": 21}, "n_clusters is 21.*20 samples"),
        ({"n_clusters": 0}, "n_clusters is 0"),
        ({"n_clusters": 2, "init": "random"}, "'random'"),
        ({"n_clusters": 2, "init": np.ones((3, 6))}, "3 x 6.*2 x 6"),
        ({"n_clusters": 2, "tol": -1.0}, "tol is -1"),
        ({"n_clusters": 2, "n_init": 0}, "n_init is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.kmeans(x, **arguments)
    with pytest.raises(ValueError, match=r"20 x 6.*2 x 5"):
        _core.kmeans_activations(x, np.ones((2, 5)))
    x[3, 2] = np.inf
    with pytest.raises(ValueError, match="row 3, column 2"):
        _core.kmeans(x, 2)
