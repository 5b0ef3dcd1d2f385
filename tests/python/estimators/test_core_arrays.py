"""How the extension reads numpy arrays and hands its results over."""

import gc
import tracemalloc
import weakref

import ml_dtypes
import numpy as np
import pytest
from planted import planted

from coxlmm import _core


def layouts(X):
    """The same matrix in every memory layout that the extension must read in place."""
    rows, cols = X.shape
    wide = np.full((2 * rows, 3 * cols), np.nan, X.dtype)
    wide[::2, ::3] = X
    return {
        "C": np.ascontiguousarray(X),
        "F": np.asfortranarray(X),
        "strided": wide[::2, ::3],
        "rows reversed": np.ascontiguousarray(X[::-1])[::-1],
        "both reversed": np.asfortranarray(X[::-1, ::-1])[::-1, ::-1],
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["F", "strided", "rows reversed", "both reversed"])
def test_layout_does_not_change_the_result(layout, dtype):
    arrays = layouts(planted(40, 15, 4, seed=0, dtype=dtype))
    expected = _core.semi_nmf(arrays["C"], 4, max_iter=5)
    found = _core.semi_nmf(arrays[layout], 4, max_iter=5)
    rtol = 1e-3 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(found.dictionary, expected.dictionary, rtol=rtol, atol=rtol)
    assert found.objective == pytest.approx(expected.objective, rel=rtol)


@pytest.mark.parametrize("layout", ["C", "F", "strided", "both reversed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_floats_are_read_in_place(layout, dtype):
    codes = np.abs(planted(20_000, 40, 4, seed=0, dtype=dtype))
    array = layouts(codes)[layout]
    tracemalloc.start()  # numpy reports its allocations there
    _core.max_activating(array, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 20


def test_integers_are_copied_once():
    codes = np.abs(np.round(planted(20_000, 40, 4, seed=0))).astype(np.int32)
    tracemalloc.start()
    _core.max_activating(codes, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2 * codes.nbytes <= peak < 2.2 * codes.nbytes


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (np.float16, np.float32),
        (ml_dtypes.bfloat16, np.float32),
        (">f2", np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.longdouble, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (np.bool_, np.float64),
        (">f4", np.float32),
        (">f8", np.float64),
    ],
)
def test_precision_of_the_computation(given, computed):
    X = np.round(2 * planted(30, 10, 3, seed=0))
    X = np.abs(X).astype(given)
    found = _core.semi_nmf(X, 3, max_iter=4)
    assert found.codes.dtype == found.dictionary.dtype == computed
    expected = _core.semi_nmf(X.astype(computed), 3, max_iter=4)
    assert np.array_equal(found.dictionary, expected.dictionary)


def test_misaligned_and_record_fields_are_copied():
    X = planted(30, 10, 3, seed=0)
    expected = _core.semi_nmf(X, 3, max_iter=4).dictionary
    misaligned = np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape)
    assert not misaligned.flags.aligned
    records = np.zeros(X.shape, dtype=[("value", "f8"), ("tag", "i4")])
    records["value"] = X
    assert records["value"].strides[1] % 8
    assert np.array_equal(_core.semi_nmf(misaligned, 3, max_iter=4).dictionary, expected)
    assert np.array_equal(_core.semi_nmf(records["value"], 3, max_iter=4).dictionary, expected)


def test_input_is_left_as_it_was():
    X = planted(30, 10, 3, seed=0)
    X.flags.writeable = False
    before = X.copy()
    _core.semi_nmf(X, 3, init=X[:3], max_iter=4)
    assert np.array_equal(X, before)


def test_results_outlive_what_they_came_from_and_are_freed():
    X = planted(500, 40, 5, seed=0)
    found = _core.semi_nmf(X, 5, max_iter=4)
    codes = found.codes
    copy = codes.copy()
    # The memory is the core's own, kept by an owner object: numpy did not copy it.
    assert not codes.flags.owndata
    assert codes.base is not None
    assert codes.flags.writeable
    assert codes.flags.c_contiguous
    watched = weakref.ref(codes)
    del found, X
    gc.collect()
    assert np.array_equal(codes, copy)
    codes[0, 0] = 3.0
    del codes
    gc.collect()
    assert watched() is None


def test_array_likes_are_accepted():
    X = planted(20, 6, 2, seed=0)
    assert np.array_equal(
        _core.semi_nmf(X.tolist(), 2, max_iter=3).dictionary, _core.semi_nmf(X, 2, max_iter=3).dictionary
    )


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones(5), ValueError, r"x must have 2 dimensions; got 1 with shape \(5,\)"),
        (np.ones((2, 3, 4)), ValueError, r"x must have 2 dimensions; got 3 with shape \(2, 3, 4\)"),
        (np.ones((3, 3), complex), TypeError, "x must hold real numbers; got dtype.'complex128'"),
        (np.array([["a", "b"]]), TypeError, "x must hold real numbers; got dtype.'<U1'"),
        (np.array([[1.0, None]], dtype=object), TypeError, "x must hold real numbers; got dtype.'O'"),
        (np.ones((0, 4)), ValueError, "0"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), ValueError, "nan at row 1, column 1"),
        (np.array([[1.0, np.inf], [3.0, 0.0]], np.float32), ValueError, "inf at row 0, column 1"),
    ],
)
def test_unfit_arrays_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        _core.semi_nmf(x, 1)


def test_core_names_what_is_out_of_range():
    X = planted(10, 4, 2, seed=0)
    with pytest.raises(ValueError, match=r"11.*10"):
        _core.semi_nmf(X, 11)
    with pytest.raises(ValueError, match=r"-1"):
        _core.semi_nmf(X, 2, l1=-1.0)
    with pytest.raises(ValueError, match=r"init must be .* got 'pca'"):
        _core.semi_nmf(X, 2, init="pca")
    with pytest.raises(ValueError, match=r"(?s)3.*4|4.*3"):
        _core.sparse_encode(X, np.ones((2, 3)), l1=1.0)
