"""What holds for every matrix: any shape, layout and scale, and the matrices that break solvers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from planted import objective, planted

from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF

# The same examples in every run, so that a failure is found again.
properties = settings(max_examples=60, deadline=None, derandomize=True)


def rank_deficient(X):
    return X[:, :1] * X[:1] + X[:, -1:] * X[-1:]


def duplicated_rows(X):
    return X[np.arange(len(X)) % max(1, len(X) // 3)]


def constant_columns(X):
    X[:, ::2] = 3.0
    return X


def far_from_the_origin(X):
    return X + 30.0


def rows_of_zeros(X):
    X[::2] = 0.0
    return X


def all_zero(X):
    return 0 * X


KINDS = [np.asarray, rank_deficient, duplicated_rows, constant_columns, far_from_the_origin, rows_of_zeros, all_zero]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
}


@st.composite
def problems(draw, kinds=KINDS, nonnegative=False):
    """Samples, a number of components, and a penalty in the unit of the samples."""
    n_samples, n_features = draw(array_shapes(min_dims=2, max_dims=2, max_side=24))
    n_components = draw(st.one_of(st.just(1), st.just(n_samples), st.integers(1, n_samples)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    X = planted(n_samples, n_features, draw(st.integers(1, 6)), seed=draw(st.integers(0, 99)), noise=0.2)
    X = draw(st.sampled_from(kinds))(np.abs(X) if nonnegative else X)
    scale = 10.0 ** draw(st.integers(-6, 6))
    l1 = scale * draw(st.sampled_from([0.0, 0.05, 0.5, 5.0]))
    return draw(st.sampled_from(list(LAYOUTS.values())))((scale * X).astype(dtype)), n_components, l1


def require_optimal_codes(X, codes, components, l1):
    """Of each sample: the gradient is 0 where a code is positive, and points uphill where it is 0."""
    # Where atoms are nearly parallel and nothing is paid for them, codes are large, and so is their rounding.
    rounding = 20 * np.finfo(codes.dtype).eps * codes.sum(axis=1, keepdims=True, dtype=np.float64)
    # In single precision, more parallel atoms than features leave this much undecided.
    tolerance = 5e-5 if codes.dtype == np.float32 else 1e-5
    X, codes, components = (np.asarray(a, np.float64) for a in (X, codes, components))
    gradient = 2 * (codes @ components - X) @ components.T + l1
    violation = np.where(codes > 0, np.abs(gradient), np.maximum(-gradient, 0))
    excess = violation - tolerance * np.linalg.norm(X, axis=1, keepdims=True) - rounding
    assert excess.max() <= 0


def gain_of_the_best_atom(X, codes, components, l1, *, nonnegative):
    """By how much the objective falls when the one atom is replaced that it pays most to replace."""
    X, codes, components = (np.asarray(a, np.float64) for a in (X, codes, components))
    before = objective(X, codes, components, l1)
    after = [before]
    for k in np.flatnonzero(codes.any(axis=0)):
        others = components.copy()
        others[k] = 0
        best = codes[:, k] @ (X - codes @ others) / (codes[:, k] @ codes[:, k])
        best = np.maximum(best, 0) if nonnegative else best
        others[k] = best / max(1.0, np.linalg.norm(best))
        after.append(objective(X, codes, others, l1))
    return before - min(after)


def check_factorization(make, X, n_components, l1, *, nonnegative):
    model = make(n_components, l1=l1, random_state=0, n_jobs=1, n_init=2)
    codes = model.fit_transform(X)
    components = model.components_
    eps = np.finfo(X.dtype).eps
    energy = np.sum(X.astype(np.float64) ** 2)
    assert codes.dtype == components.dtype == X.dtype
    assert np.isfinite(codes).all()
    assert np.isfinite(components).all()
    assert codes.min() >= 0
    assert components.min() >= 0 or not nonnegative
    assert np.linalg.norm(components.astype(np.float64), axis=1).max() <= 1 + 10 * eps
    require_optimal_codes(X, codes, components, l1)
    assert abs(model.objective_ - objective(X, codes, components, l1)) <= 1e-5 * energy
    assert model.objective_ <= energy * (1 + 1e-6)  # which is the objective without any concept
    assert np.all(np.diff(model.history_) <= 1e-6 * energy)
    require_optimal_codes(X, model.transform(X), components, l1)


@properties
@given(problems())
def test_semi_nmf_of_any_matrix(problem):
    check_factorization(SemiNMF, *problem, nonnegative=False)


@properties
@given(problems(nonnegative=True))
def test_nmf_of_any_nonnegative_matrix(problem):
    check_factorization(NMF, *problem, nonnegative=True)


@pytest.mark.parametrize("estimator", [SemiNMF, NMF])
@properties
@given(problem=problems(kinds=[np.asarray, far_from_the_origin], nonnegative=True))
def test_no_atom_is_left_that_could_be_better(estimator, problem):
    X, n_components, l1 = problem
    if estimator is SemiNMF:
        X = X - X.mean(axis=0) / 2  # of either sign
    model = estimator(n_components, l1=l1, tol=1e-8, max_iter=2000, random_state=0, n_jobs=1)
    codes = model.fit_transform(X)
    gain = gain_of_the_best_atom(X, codes, model.components_, l1, nonnegative=estimator is NMF)
    assert gain <= 1e-5 * np.sum(X.astype(np.float64) ** 2)


@properties
@given(problems(kinds=[np.asarray]), st.integers(-20, 20))
def test_semi_nmf_follows_the_scale_of_the_samples(problem, power):
    X, n_components, l1 = problem
    scale = 2.0**power  # exact: nothing is rounded otherwise than before
    X = (X / np.abs(X).max()).astype(X.dtype)
    l1 = min(l1, 0.1)
    fits = [
        SemiNMF(n_components, l1=s * l1, random_state=0, n_jobs=1, n_init=2).fit(X * X.dtype.type(s))
        for s in (1.0, scale)
    ]
    np.testing.assert_allclose(fits[1].components_, fits[0].components_, rtol=1e-6, atol=1e-6)
    assert np.isclose(fits[1].objective_, scale**2 * fits[0].objective_, rtol=1e-6)
    codes = [fit.transform(X * X.dtype.type(s)) for fit, s in zip(fits, (1.0, scale), strict=True)]
    np.testing.assert_allclose(codes[1], scale * codes[0], rtol=1e-4, atol=1e-5 * scale)


@properties
@given(problems())
def test_as_many_concepts_as_samples_explain_them(problem):
    X, _, _ = problem
    model = SemiNMF(len(X), l1=0.0, init="samples", n_init=1, random_state=0, n_jobs=1)
    codes = model.fit_transform(X)
    residual = X.astype(np.float64) - codes.astype(np.float64) @ model.components_
    # Codes are optimal to 1e-6 of the samples' norm, and the squared residual is no larger than that.
    assert np.linalg.norm(residual) <= 5e-3 * np.linalg.norm(X.astype(np.float64))


@properties
@given(problems(), st.sampled_from(list(LAYOUTS)))
def test_the_layout_does_not_change_codes(problem, layout):
    X, n_components, l1 = problem
    n_components = min(n_components, np.count_nonzero(X.any(axis=1)))
    assume(n_components)
    model = LargestNorm(n_components, l1=l1, n_jobs=1).fit(np.ascontiguousarray(X))
    codes = model.transform(LAYOUTS[layout](X))
    require_optimal_codes(X, codes, model.components_, l1)


@properties
@given(problems())
def test_the_largest_samples(problem):
    X, n_components, l1 = problem
    n_components = min(n_components, np.count_nonzero(X.any(axis=1)))
    assume(n_components)
    model = LargestNorm(n_components, l1=l1, n_jobs=1)
    codes = model.fit_transform(X)
    require_optimal_codes(X, codes, model.components_, l1)
    norms = np.linalg.norm(X.astype(np.float64), axis=1)
    chosen = norms[model.sample_indices_]
    np.testing.assert_allclose(chosen, np.sort(norms)[::-1][:n_components], rtol=1e-5)
    assert len(set(model.sample_indices_.tolist())) == n_components
    lengths = np.linalg.norm(model.components_.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    np.testing.assert_allclose(
        model.components_ * chosen[:, None], X[model.sample_indices_], rtol=1e-4, atol=1e-5 * chosen.max()
    )


@properties
@given(problems(), st.sampled_from(["full", "randomized"]))
def test_principal_components(problem, solver):
    X, n_components, _ = problem
    X = X if len(X) > 1 else np.concatenate([X, 2 * X])
    n_components = min(n_components, *X.shape)
    model = PCA(n_components, solver=solver, random_state=0, n_jobs=1)
    codes = model.fit_transform(X).astype(np.float64)
    U = model.components_.astype(np.float64)
    np.testing.assert_allclose(U @ U.T, np.eye(n_components), atol=1e-5)
    centred = X.astype(np.float64) - X.astype(np.float64).mean(axis=0)
    size = np.linalg.norm(X.astype(np.float64))
    np.testing.assert_allclose(codes, centred @ U.T, atol=1e-5 * size)
    expected = np.linalg.svd(centred, compute_uv=False)[:n_components]
    np.testing.assert_allclose(model.singular_values_, expected, atol=1e-5 * size)
    assert np.all(np.diff(model.explained_variance_) <= 1e-6 * size**2)


@properties
@given(problems())
def test_clusters(problem):
    X, n_components, _ = problem
    model = KMeans(n_components, n_init=2, random_state=0, n_jobs=1)
    codes = model.fit_transform(X)
    exact = X.astype(np.float64)
    size = np.linalg.norm(exact)
    centers = model.components_.astype(np.float64)
    distances = np.linalg.norm(exact[:, None, :] - centers, axis=2)
    # Distances that are small beside the samples are known to rounding of those: half of the digits.
    np.testing.assert_allclose(1 / codes.astype(np.float64) - 1, distances, rtol=1e-3, atol=2e-3 * size + 1e-5)
    own = distances[np.arange(len(X)), model.labels_]
    assert np.all(own <= distances.min(axis=1) + 2e-3 * size)
    assert np.isclose(model.inertia_, np.sum(own**2), rtol=1e-3, atol=1e-5 * size**2)
    assert np.isfinite(centers).all()
