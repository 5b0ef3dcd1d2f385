"""Whitened: another decomposition, where the directions of small variance count for more."""

import numpy as np
import pytest

from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF, Whitened


def mixtures(n_samples=600, n_features=32, seed=0):
    """Samples that are sums of one of two loud and one of three faint directions, around a large mean; and which."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n_features, 6)))[0].T
    loud, faint = rng.integers(2, size=n_samples), rng.integers(3, size=n_samples)
    X = 50 * Q[5] + 10 * Q[loud] + 0.5 * Q[2 + faint] + 0.02 * rng.standard_normal((n_samples, n_features))
    return X, loud, faint


def best_correlation(codes, member):
    return max(np.corrcoef(codes[:, k], member)[0, 1] for k in range(codes.shape[1]) if codes[:, k].any())


def test_faint_factors_are_found_that_the_samples_as_they_are_hide():
    X, _, faint = mixtures()
    plain = SemiNMF(4, l1=0.5, random_state=0).fit_transform(X)
    codes = Whitened(SemiNMF(4, l1=0.03), n_directions=3, power=1.0, random_state=0).fit_transform(X)
    assert (codes >= 0).all()
    assert min(best_correlation(codes, faint == value) for value in range(3)) > 0.9
    assert min(best_correlation(plain, faint == value) for value in range(3)) < 0.5


def test_the_whitened_samples_are_what_is_decomposed():
    X, _, _ = mixtures()
    model = Whitened(SemiNMF(5, l1=0.03, random_state=0), n_directions=6, power=1.0, random_state=0).fit(X)
    T = (X - X.mean(axis=0)) @ model.directions_.T / model.scales_
    assert np.square(T).sum(axis=1).mean() == pytest.approx(1)
    variances = T.var(axis=0)
    np.testing.assert_allclose(variances, variances[0], rtol=1e-6)
    seed = model.estimator_.random_state
    expected = SemiNMF(5, l1=0.03, random_state=seed).fit(T)
    np.testing.assert_allclose(model.estimator_.components_, expected.components_, atol=1e-9)
    np.testing.assert_allclose(model.transform(X), model.estimator_.transform(T), rtol=1e-8, atol=1e-12)


def test_what_codes_stand_for_is_the_mean_and_the_whitened_reconstruction_carried_back():
    X, _, _ = mixtures()
    model = Whitened(SemiNMF(5, l1=0.03, random_state=0), power=0.5, random_state=0)
    codes = model.fit_transform(X)
    back = (codes @ model.estimator_.components_ * model.scales_) @ model.directions_ + X.mean(axis=0)
    np.testing.assert_allclose(model.inverse_transform(codes), back, rtol=1e-9)
    np.testing.assert_allclose(model.inverse_transform(codes), codes @ model.components_ + model.mean_, rtol=1e-12)


def test_codes_do_not_depend_on_the_mean_the_unit_or_the_axes_of_the_samples():
    X, _, _ = mixtures()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))[0]
    make = Whitened(SemiNMF(5, l1=0.03, random_state=0), power=0.7, random_state=0)
    codes = make.fit_transform(X)
    for moved in (X + 7, 1000 * X, X @ turn):
        other = Whitened(SemiNMF(5, l1=0.03, random_state=0), power=0.7, random_state=0).fit(moved)
        # The signs of principal components are arbitrary, and turn with the axes: the fit may take another start.
        assert other.estimator_.objective_ == pytest.approx(make.estimator_.objective_, rel=1e-2)
    np.testing.assert_allclose(Whitened(make.estimator, power=0.7, random_state=0).fit_transform(8 * X), codes)


def test_single_precision_with_a_large_mean():
    X, _, _ = mixtures()
    settings = {"n_directions": 4, "power": 1.0, "random_state": 0}
    double = Whitened(SemiNMF(5, l1=0.03, random_state=0), **settings).fit(X)
    single = Whitened(SemiNMF(5, l1=0.03, random_state=0), **settings).fit(X.astype(np.float32))
    assert single.components_.dtype == np.float32
    assert single.estimator_.objective_ == pytest.approx(double.estimator_.objective_, rel=1e-3)


def test_the_estimator_given_is_not_fitted_itself_and_says_how_many_concepts_there_are():
    inner = SemiNMF(4, random_state=0)
    model = Whitened(inner).fit(mixtures()[0])
    assert not hasattr(inner, "components_")
    assert model.components_.shape == model.directions_.shape == (4, 32)


def test_one_seed_is_that_of_everything():
    X, _, _ = mixtures()
    first, other = (Whitened(SemiNMF(9, random_state=0), random_state=seed).fit_transform(X) for seed in (1, 2))
    assert not np.allclose(first, other)
    again = Whitened(SemiNMF(9, random_state=7), random_state=1).fit_transform(X)
    np.testing.assert_array_equal(again, first)


def test_without_a_seed_of_its_own_it_has_that_of_the_estimator():
    # So wide that the principal components come from a random subspace.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 1000)) * np.arange(1, 1001) ** -0.6
    one, two = (Whitened(SemiNMF(20, random_state=3)).fit(X) for _ in range(2))
    np.testing.assert_array_equal(one.components_, two.components_)
    assert not np.array_equal(one.directions_, Whitened(SemiNMF(20, random_state=4)).fit(X).directions_)


def test_more_components_than_directions_take_the_directions_that_there_are():
    X = mixtures(n_features=8)[0]
    assert Whitened(SemiNMF(12, random_state=0)).fit(X).directions_.shape == (8, 8)


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (Whitened(KMeans(3)), TypeError, "sums of concepts.*KMeans"),
        (Whitened(PCA(3)), TypeError, "sums of concepts.*PCA"),
        (Whitened(Whitened(SemiNMF(3))), TypeError, "sums of concepts"),
        (Whitened(SemiNMF), TypeError, "sums of concepts"),
        (Whitened(SemiNMF(3), power=1.5), ValueError, "between 0 and 1; got 1.5"),
        (Whitened(SemiNMF(3), power=-0.5), ValueError, "power.*-0.5"),
        (Whitened(SemiNMF(3), n_directions=0), ValueError, "n_directions.*0"),
        (Whitened(SemiNMF(3), n_directions=33), ValueError, "n_directions=33 exceeds"),
        (Whitened(SemiNMF(601)), ValueError, "n_components=601 exceeds n_samples=600"),
        (Whitened(NMF(3)), TypeError, "sums of concepts.*NMF"),
    ],
)
def test_parameters_out_of_their_domain(model, error, match):
    with pytest.raises(error, match=match):
        model.fit(mixtures()[0])


def test_samples_that_are_all_alike_have_nothing_to_decompose():
    with pytest.raises(ValueError, match="30 samples are all alike"):
        Whitened(SemiNMF(3)).fit(np.ones((30, 8)))


def test_largest_norm_takes_the_samples_that_differ_most():
    X, _, _ = mixtures()
    model = Whitened(LargestNorm(3), power=0.0, n_directions=6, random_state=0).fit(X)
    far = np.argsort(-np.linalg.norm((X - X.mean(axis=0)) @ model.directions_.T, axis=1))[:3]
    expected = (X[far] - X.mean(axis=0)) @ model.directions_.T @ model.directions_
    cosines = np.abs(np.einsum("kd,kd->k", model.components_, expected))
    cosines /= np.linalg.norm(model.components_, axis=1) * np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(cosines, 1, rtol=1e-6)
