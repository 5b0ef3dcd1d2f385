"""What every estimator promises: the shapes and dtypes of what it learns, and which arrays it takes, as they are."""

import inspect
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import torch
from planted import planted
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from coxlmm import RowBlocks
from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF, Whitened

ESTIMATORS = [
    SemiNMF(3, l1=0.3, max_iter=20, random_state=0),
    NMF(3, l1=0.3, max_iter=20, random_state=0),
    PCA(3, random_state=0),
    KMeans(3, n_init=2, random_state=0),
    LargestNorm(3, l1=0.3),
    Whitened(SemiNMF(3, l1=0.03, max_iter=20, random_state=0), random_state=0),
]
every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def samples(dtype=np.float32, n_samples=60):
    # Halves of integers, so that 16 bits hold them exactly and the result in them can be told from a wrong one.
    return (np.abs(np.round(8 * planted(n_samples, 12, 3, seed=0))) / 2).astype(dtype)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes(estimator, dtype):
    X = samples(dtype)
    model = clone(estimator)
    codes = model.fit_transform(X)
    assert codes.shape == (60, 3)
    assert model.components_.shape == (3, 12)
    assert codes.dtype == model.components_.dtype == model.transform(X).dtype == dtype
    np.testing.assert_allclose(model.transform(X), codes, atol=1e-3)
    decoded = model.inverse_transform(codes)
    assert decoded.shape == X.shape
    assert decoded.dtype == dtype
    assert np.linalg.norm(X - decoded) < np.linalg.norm(X)


@every
def test_what_is_learned_is_the_same_for_any_number_of_threads(estimator):
    X = samples(n_samples=400)
    one, two = (clone(estimator).set_params(n_jobs=n).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.transform(X), two.transform(X))


FORMS = {
    "float16": lambda X: X.astype(np.float16),
    "bfloat16": lambda X: X.astype(ml_dtypes.bfloat16),
    "bfloat16 record": lambda X: X.astype(ml_dtypes.bfloat16).view([("bfloat16", "<u2")]),
    "torch": torch.tensor,
    "torch float16": lambda X: torch.tensor(X).half(),
    "torch bfloat16": lambda X: torch.tensor(X).bfloat16(),
    "torch with a gradient": lambda X: torch.tensor(X).requires_grad_(),
    "torch columns": lambda X: torch.tensor(np.ascontiguousarray(X.T)).T,
    "Fortran": np.asfortranarray,
    "blocks": lambda X: RowBlocks([X[:7], X[7:40], X[40:]]),
    "blocks of bfloat16": lambda X: RowBlocks([torch.tensor(X[:30]).bfloat16(), torch.tensor(X[30:]).bfloat16()]),
}


@every
@pytest.mark.parametrize("form", FORMS)
def test_samples_in_any_form(estimator, form):
    X = samples()
    expected = clone(estimator)
    codes = expected.fit_transform(X)
    given = FORMS[form](X)
    model = clone(estimator)
    found = model.fit_transform(given)
    assert found.dtype == model.components_.dtype == np.float32
    assert model.n_features_in_ == 12
    np.testing.assert_allclose(model.components_, expected.components_, atol=1e-4)
    np.testing.assert_allclose(found, codes, atol=1e-3)
    assert model.transform(given).dtype == np.float32
    np.testing.assert_allclose(model.transform(given), expected.transform(X), atol=1e-3)


@every
def test_tensors_of_double_precision_stay_so(estimator):
    X = samples(np.float64)
    model = clone(estimator).fit(torch.tensor(X))
    assert model.components_.dtype == np.float64
    np.testing.assert_allclose(model.components_, clone(estimator).fit(X).components_, atol=1e-9)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_samples_are_not_copied(estimator, dtype):
    X = np.abs(planted(6000, 400, 3, seed=0)).astype(dtype)
    model = clone(estimator).set_params(**({"n_init": 1} if hasattr(estimator, "n_init") else {}))
    peaks = []
    for compute in (model.fit, model.transform):
        tracemalloc.start()  # numpy reports its allocations there
        compute(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < X.nbytes / 10


@every
def test_what_is_no_matrix_is_refused(estimator):
    model = clone(estimator).fit(samples())
    for compute in (model.fit, model.transform):
        with pytest.raises(ValueError, match=r"of 2 dimensions; got 1 with shape \(12,\)"):
            compute(torch.ones(12))
        with pytest.raises(ValueError, match=r"X of shape \(0, 12\) is empty"):
            compute(np.zeros((0, 12), np.float16))
        with pytest.raises(TypeError, match="meta"):
            compute(torch.ones((60, 12), device="meta"))
    with pytest.raises(ValueError, match=r"X has 11 features, but .* is expecting 12 features"):
        model.transform(torch.ones((5, 11)))
    with pytest.raises(ValueError, match=r"X has 11 features, but .* is expecting 12 features"):
        model.transform(np.ones((5, 11)))
    with pytest.raises(NotFittedError):
        clone(estimator).transform(torch.ones((5, 12)))


@every
def test_a_refused_fit_is_no_fit(estimator):
    model = clone(estimator)
    with pytest.raises(ValueError, match="exceeds n_samples=2"):
        model.fit(samples()[:2])
    calls = [model.transform, model.inverse_transform, *([model.encoder] if hasattr(model, "encoder") else ())]
    for call in calls:
        with pytest.raises(NotFittedError):
            call(*([] if call == getattr(model, "encoder", None) else [samples()]))


@every
@pytest.mark.parametrize("form", ["numpy", "list", "float16", "torch", "blocks"])
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_values_that_are_not_finite_are_named_with_row_and_column(estimator, form, value, name):
    X = samples()
    model = clone(estimator).fit(X)
    X[41, 5] = value
    given = {"numpy": lambda X: X, "list": np.ndarray.tolist, **FORMS}[form](X)
    for compute in (model.fit, model.transform):
        with pytest.raises(ValueError, match=f"value {name} at row 41, column 5"):
            compute(given)


@every
def test_parameters_are_checked(estimator):
    X = samples()
    for change, error, message in [
        ({"n_components": 0}, ValueError, "n_components must be finite and at least 1; got 0"),
        ({"n_components": 2.0}, TypeError, "n_components must be an integer; got 2.0 of type float"),
        ({"n_components": 61}, ValueError, "n_components=61 exceeds n_samples=60"),
        ({"l1": -1.0}, ValueError, "l1 must be finite and at least 0; got -1.0"),
        ({"n_init": 0}, ValueError, "n_init must be finite and at least 1; got 0"),
        ({"max_iter": 0}, ValueError, "max_iter must be finite and at least 1; got 0"),
        ({"tol": np.inf}, ValueError, "tol must be finite and at least 0; got inf"),
        ({"init": "other"}, ValueError, r"init must be one of 'kmeans.*' or an array; got 'other'"),
        ({"solver": "other"}, ValueError, "solver must be one of 'auto', .*; got 'other'"),
        ({"n_power_iterations": -1}, ValueError, "n_power_iterations must be finite and at least 0; got -1"),
    ]:
        if set(change) <= set(estimator.get_params()):
            with pytest.raises(error, match=message):
                clone(estimator).set_params(**change).fit(X)


def test_all_can_be_made_in_one_way():
    for estimator in ESTIMATORS:
        parameters = inspect.signature(type(estimator)).parameters
        assert {"random_state", "n_jobs"} <= set(parameters)
        if isinstance(estimator, Whitened):  # has as many as the estimator within
            continue
        assert parameters["n_components"].default == 20
