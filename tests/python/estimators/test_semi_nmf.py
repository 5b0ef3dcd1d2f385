"""The mathematics of the estimator: what it minimises, what its results satisfy, how it fails."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from planted import kkt_residual, objective, planted
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from coxlmm import _core
from coxlmm.estimators import SemiNMF

FITS = [
    pytest.param(shape, l1, init, id=f"{'x'.join(map(str, shape))}-l1={l1}-{init}")
    for shape, l1, init in [
        ((40, 7, 3), 0.0, "random"),
        ((60, 30, 5), 0.5, "samples"),
        ((30, 80, 6), 1.0, "kmeans++"),
        ((500, 20, 12), 0.2, "kmeans++"),
    ]
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "l1", "init"), FITS)
def test_results_satisfy_the_problem(shape, l1, init, dtype):
    X = planted(*shape, seed=1, dtype=dtype)
    model = SemiNMF(shape[2], l1=l1, init=init, random_state=0)
    codes = model.fit_transform(X)
    components = model.components_
    eps = np.finfo(dtype).eps

    assert codes.dtype == components.dtype == dtype
    assert codes.min() >= 0
    assert np.linalg.norm(components.astype(np.float64), axis=1).max() <= 1 + 10 * eps
    expected = objective(X, codes, components, l1)
    # The objective is summed from correlations, so what it can lose is rounding of the energy of X.
    assert model.objective_ == pytest.approx(expected, rel=1e-6, abs=float(100 * eps * np.sum(X**2.0)))
    assert np.linalg.norm(X.astype(np.float64) - codes @ components.astype(np.float64)) == pytest.approx(
        model.reconstruction_err_, rel=1e-4 if dtype == np.float32 else 1e-12
    )
    assert kkt_residual(X, codes, components, l1) <= 1e-6 + 10 * eps
    history = model.history_
    assert len(history) == model.n_iter_ + 1
    assert np.all(np.diff(history) <= 1e-6 * history[0])
    assert model.stop_reason_ in {"converged", "max_iter"}


def test_components_are_stationary():
    X = planted(300, 15, 4, seed=3)
    model = SemiNMF(4, l1=0.3, tol=1e-12, max_iter=5000, random_state=0)
    codes = model.fit_transform(X)
    U = model.components_
    # Projected gradient of the least-squares part: no step along it leaves the unit ball and gains.
    gradient = -2 * codes.T @ (X - codes @ U)
    step = 1 / np.linalg.eigvalsh(2 * codes.T @ codes).max()
    moved = U - step * gradient
    moved /= np.maximum(1, np.linalg.norm(moved, axis=1, keepdims=True))
    assert np.abs(moved - U).max() < 1e-4


def test_transform_solves_the_nonnegative_lasso_for_unseen_samples():
    model = SemiNMF(8, l1=0.7, random_state=0).fit(planted(200, 25, 8, seed=0))
    unseen = planted(90, 25, 8, seed=9)
    codes = model.transform(unseen)
    assert codes.min() >= 0
    assert (codes > 0).any()
    assert kkt_residual(unseen, codes, model.components_, 0.7) <= 1e-6
    assert np.array_equal(model.transform(unseen[10:11]), codes[10:11])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_reconstruction_error_is_that_of_the_residual(dtype):
    X = planted(200, 30, 6, seed=1, dtype=dtype) + dtype(20)
    model = SemiNMF(6, l1=0.5, random_state=0)
    codes = model.fit_transform(X).astype(np.float64)
    residual = X.astype(np.float64) - codes @ model.components_.astype(np.float64)
    rel = 1e-5 if dtype == np.float32 else 1e-12
    assert model.reconstruction_err_ == pytest.approx(np.linalg.norm(residual), rel=rel)


@pytest.mark.parametrize(("residual", "is_announced"), [(2e-6, False), (0.02, True)])
def test_codes_that_are_far_from_optimal_are_announced(monkeypatch, residual, is_announced):
    model = SemiNMF(6, l1=0.2, random_state=0).fit(planted(100, 20, 6, seed=0))
    found = SimpleNamespace(codes=np.zeros((50, 6)), kkt_residual=residual, stop="max_iter")
    monkeypatch.setattr(_core, "sparse_encode", lambda *args, **kwargs: found)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.transform(planted(50, 20, 6, seed=5))
    assert [str(w.message)[:60] for w in caught if w.category is ConvergenceWarning] == [
        "The codes of some samples are not optimal: their KKT residual is 0.02. "[:60]
    ] * is_announced


def test_fit_transform_is_fit_then_transform():
    X = planted(80, 20, 5, seed=2)
    model = SemiNMF(5, random_state=3)
    codes = model.fit_transform(X)
    np.testing.assert_allclose(model.transform(X), codes, rtol=1e-4, atol=1e-4)


def test_inverse_transform_is_the_reconstruction():
    X = planted(80, 20, 5, seed=2)
    model = SemiNMF(5, l1=0.1, random_state=3)
    codes = model.fit_transform(X)
    reconstruction = model.inverse_transform(codes)
    assert np.linalg.norm(X - reconstruction) == pytest.approx(model.reconstruction_err_, rel=1e-10)
    with pytest.raises(ValueError, match="X has 4 columns, but SemiNMF has 5 components"):
        model.inverse_transform(codes[:, :4])


def test_planted_concepts_are_recovered():
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.standard_normal((40, 6)))[0].T
    codes = rng.exponential(3.0, (400, 6)) * (rng.random((400, 6)) < 0.3)
    X = codes @ atoms
    model = SemiNMF(6, l1=0.05, random_state=0, max_iter=1000, tol=1e-9).fit(X)
    cosines = np.abs(atoms @ model.components_.T).max(axis=1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    X = planted(700, 33, 9, seed=4, dtype=dtype)
    fits = [SemiNMF(9, random_state=5, n_jobs=n, max_iter=30).fit(X) for n in (1, 2, 3, None)]
    codes = [fit.transform(X) for fit in fits]
    for fit, code in zip(fits[1:], codes[1:], strict=True):
        assert np.array_equal(fit.components_, fits[0].components_)
        assert np.array_equal(fit.history_, fits[0].history_)
        assert np.array_equal(code, codes[0])


def test_random_state_decides_the_fit():
    X = planted(100, 20, 8, seed=0)
    first, again, other = (SemiNMF(8, random_state=s, max_iter=3).fit(X).components_ for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    state = np.random.RandomState(0)
    from_state = SemiNMF(8, random_state=state, max_iter=3)
    assert not np.array_equal(from_state.fit(X).components_, from_state.fit(X).components_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warm_start_goes_on_where_the_fit_ended(dtype):
    X = planted(200, 20, 6, seed=0)
    short = SemiNMF(6, init="random", n_init=1, random_state=0, max_iter=2, tol=0).fit(X)
    warm = SemiNMF(6, init=short.components_.astype(dtype), max_iter=5, tol=0).fit(X)
    assert warm.history_[0] == pytest.approx(short.objective_, rel=1e-5)
    assert warm.objective_ < 0.99 * short.objective_


def test_pickled_and_cloned():
    X = planted(60, 12, 4, seed=0)
    model = SemiNMF(4, l1=0.25, random_state=0, n_jobs=1).fit(X)
    loaded = pickle.loads(pickle.dumps(model))
    assert np.array_equal(loaded.transform(X), model.transform(X))
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(X)


def test_feature_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(planted(30, 4, 2, seed=0), columns=list("abcd"))
    model = SemiNMF(2, random_state=0).fit(X)
    assert list(model.get_feature_names_out()) == ["seminmf0", "seminmf1"]
    assert list(model.feature_names_in_) == list("abcd")
    assert list(model.set_output(transform="pandas").transform(X).columns) == ["seminmf0", "seminmf1"]


def test_half_precision_is_computed_in_single():
    X = planted(60, 12, 4, seed=0, dtype=np.float16)
    model = SemiNMF(4, random_state=0)
    assert model.fit_transform(X).dtype == np.float32
    assert np.array_equal(model.components_, SemiNMF(4, random_state=0).fit(X.astype(np.float32)).components_)


def test_callback_sees_every_pass_and_can_stop():
    X = planted(100, 20, 15, seed=0, noise=1.0)
    seen = []
    model = SemiNMF(15, random_state=0, max_iter=12, tol=0, callback=lambda i, value: seen.append((i, value))).fit(X)
    assert model.stop_reason_ == "max_iter"
    assert model.n_iter_ == 12
    assert [i for i, _ in seen] == list(range(1, 13))
    np.testing.assert_array_equal([value for _, value in seen], model.history_[1:])

    stopped = SemiNMF(15, random_state=0, tol=0, callback=lambda i, value: i < 4).fit(X)
    assert stopped.stop_reason_ == "callback"
    assert stopped.n_iter_ == 4


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 31}, ValueError, "n_components=31 exceeds n_samples=30"),
        ({"n_components": 0}, ValueError, "n_components must be finite and at least 1; got 0"),
        ({"n_components": 2.5}, TypeError, "n_components must be an integer; got 2.5 of type float"),
        ({"n_components": True}, TypeError, "n_components must be an integer; got True"),
        ({"l1": -0.5}, ValueError, "l1 must be finite and at least 0; got -0.5"),
        ({"l1": float("nan")}, ValueError, "l1 must be finite and at least 0; got nan"),
        ({"l1": "1"}, TypeError, "l1 must be a number; got '1'"),
        ({"n_init": 0}, ValueError, "n_init must be finite and at least 1; got 0"),
        ({"max_iter": 0}, ValueError, "max_iter must be finite and at least 1; got 0"),
        ({"tol": -1e-3}, ValueError, "tol must be finite and at least 0; got -0.001"),
        ({"init": "pca"}, ValueError, r"init must be one of 'kmeans.*', 'svd', 'random' or an array; got 'pca'"),
        ({"init": np.ones((2, 5))}, ValueError, r"2.*5|5.*2"),
        ({"callback": 3}, TypeError, "callback must be callable or None; got 3"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
    ],
)
def test_misuse_names_the_value(parameters, error, message):
    X = planted(30, 4, 3, seed=0)
    with pytest.raises(error, match=message):
        SemiNMF(**{"n_components": 3, **parameters}).fit(X)
