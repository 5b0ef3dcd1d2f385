"""Matrices stored in 16 bits, and torch tensors: read where they lie, computed with as their float32 selves."""

import gc
import weakref

import ml_dtypes
import numpy as np
import pytest
import torch
from planted import planted

from coxlmm import RowBlocks, _core

RECORD = np.dtype([("bfloat16", "<u2")])


def as_record(X):
    return X.astype(ml_dtypes.bfloat16).view(np.uint16).view(RECORD)


# One matrix in every kind of storage. What torch lends is the tensor's own memory.
STORED = {
    "numpy float16": lambda X: X.astype(np.float16),
    "numpy bfloat16": lambda X: X.astype(ml_dtypes.bfloat16),
    "numpy bfloat16 as a record": as_record,
    "torch float16": lambda X: torch.from_numpy(X).half(),
    "torch bfloat16": lambda X: torch.from_numpy(X).bfloat16(),
    "torch float32": torch.from_numpy,
    "torch float64": lambda X: torch.from_numpy(X).double(),
}
LAYOUTS = {
    "C": lambda a: a,
    "F": lambda a: a.T.clone().T if isinstance(a, torch.Tensor) else np.asfortranarray(a),
    "every other row and third column": lambda a: spread(a)[::2, ::3],
    "blocks": lambda a: RowBlocks([a[:7], a[7:8], a[8:]]),
}


def spread(a):
    """The matrix with rows and columns between its own, which hold something else."""
    shape = (2 * a.shape[0], 3 * a.shape[1])
    wide = torch.ones(shape, dtype=a.dtype) if isinstance(a, torch.Tensor) else np.ones(shape, a.dtype)
    wide[::2, ::3] = a
    return wide


def upcast(a):
    """In the precision of the computation, by the library's own conversion."""
    if isinstance(a, torch.Tensor):
        return a.numpy() if a.dtype in (torch.float32, torch.float64) else a.float().numpy()
    return (a.view(np.uint16).view(ml_dtypes.bfloat16) if a.dtype == RECORD else a).astype(np.float32)


def results(X, atoms, start):
    """Everything that reads a large matrix, of that matrix."""
    fit = _core.semi_nmf(X, 4, l1=0.5, init=start, max_iter=6)
    drawn = _core.semi_nmf(X, 4, l1=0.5, seed=3, max_iter=6)
    codes = _core.sparse_encode(X, atoms, l1=0.5).codes
    tokens, scores = _core.ground_text(atoms, X, 5)
    return fit.codes, fit.dictionary, drawn.codes, drawn.dictionary, codes, tokens, scores


def same_bits(found, expected):
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", STORED)
def test_the_result_is_that_of_the_upcast_matrix_to_the_bit(kind, layout):
    X = STORED[kind](planted(70, 33, 4, seed=0, dtype=np.float32))
    atoms = np.random.default_rng(1).standard_normal((4, 33))
    read = LAYOUTS[layout](X)
    assert same_bits(results(read, atoms, atoms), results(upcast(X), atoms, atoms))


@pytest.mark.parametrize("kind", STORED)
def test_rankings_of_codes_are_those_of_the_upcast_codes(kind):
    codes = STORED[kind](np.abs(planted(50, 9, 4, seed=0, dtype=np.float32)))
    for rank in (_core.max_activating, _core.most_activating_concepts):
        for read in (codes, LAYOUTS["F"](codes), spread(codes)[::2, ::3]):
            assert same_bits(rank(read, 3), rank(upcast(codes), 3))


@pytest.mark.parametrize("kind", STORED)
def test_the_small_operand_may_be_stored_so_too(kind):
    X = planted(40, 12, 3, seed=0)
    atoms = STORED[kind](np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32))
    for x in (X, X.astype(np.float32)):
        expected = upcast(atoms).astype(x.dtype)
        assert np.array_equal(
            _core.sparse_encode(x, atoms, l1=0.5).codes, _core.sparse_encode(x, expected, l1=0.5).codes
        )
        assert same_bits(_core.ground_text(atoms, x, 4), _core.ground_text(expected, x, 4))
        assert np.array_equal(
            _core.semi_nmf(x, 3, init=atoms, max_iter=3).dictionary,
            _core.semi_nmf(x, 3, init=upcast(atoms), max_iter=3).dictionary,
        )


# What is changed while the fit runs is seen by the fit: there is no copy that it could read instead.
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("kind", STORED)
def test_the_memory_itself_is_read(kind, blocks):
    X = STORED[kind](planted(60, 20, 3, seed=0, dtype=np.float32))
    read = RowBlocks([X[:25], X[25:]]) if blocks else X
    start = np.random.default_rng(1).standard_normal((3, 20))
    before = _core.semi_nmf(read, 3, l1=0.1, init=start, max_iter=3, tol=0)

    def negate(iteration, objective):
        if isinstance(X, torch.Tensor):
            X.neg_()
        else:
            X.view(np.uint16)[...] ^= 0x8000

    after = _core.semi_nmf(read, 3, l1=0.1, init=start, max_iter=3, tol=0, callback=negate)
    assert np.abs(after.dictionary - before.dictionary).max() > 0.01


def test_what_was_lent_is_given_back():
    class Lender:
        """Of before version 1.0: no keywords."""

        def __init__(self, array):
            self.array = array

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        def __dlpack__(self):
            return self.array.__dlpack__()

    X = np.abs(planted(30, 6, 3, seed=0, dtype=np.float32))
    expected = _core.max_activating(X, 4)
    lender = Lender(X)
    assert same_bits(_core.max_activating(lender, 4), expected)
    watched = weakref.ref(X)
    del X, lender
    gc.collect()
    assert watched() is None


def test_tensors_that_require_a_gradient_are_read():
    weight = torch.nn.Parameter(torch.from_numpy(planted(50, 8, 3, seed=0, dtype=np.float32)))
    atoms = np.eye(3, 8)
    assert same_bits(_core.ground_text(atoms, weight, 5), _core.ground_text(atoms, weight.detach().numpy(), 5))
    assert weight.requires_grad
    assert weight.grad is None
    product = weight * 2  # a tensor inside a graph
    assert same_bits(_core.ground_text(atoms, product, 5), _core.ground_text(atoms, product.detach().numpy(), 5))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.bool])
def test_integers_are_computed_in_double(dtype):
    X = torch.from_numpy(np.abs(np.round(planted(30, 6, 3, seed=0)))).to(dtype)
    found = _core.semi_nmf(X, 3, max_iter=3)
    assert found.dictionary.dtype == np.float64
    assert np.array_equal(found.dictionary, _core.semi_nmf(X.numpy(), 3, max_iter=3).dictionary)


class Elsewhere:
    """An array in the memory of an accelerator."""

    shape, dtype = (3, 2), np.dtype(np.float32)

    def __init__(self, device, name=None):
        self._device = device
        if name:
            self.device = name

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, **_):
        raise AssertionError("asked for memory of another device")

    def __array__(self, *_, **__):
        raise AssertionError("asked for a copy on the processor")


class OlderElsewhere:
    shape = (3, 2)
    __cuda_array_interface__ = {"data": (1, False), "shape": (3, 2), "typestr": "<f4", "version": 3}  # noqa: RUF012

    def __array__(self, *_, **__):
        raise AssertionError("asked for a copy on the processor")


@pytest.mark.parametrize(
    ("array", "device"),
    [
        (Elsewhere((2, 1)), "cuda:1"),
        (Elsewhere((2, 1), "cuda:1"), "cuda:1"),
        (Elsewhere((8, 0)), "metal:0"),
        (Elsewhere((10, 3)), "rocm:3"),
        (Elsewhere((99, 3)), "type 99 of DLPack:3"),
        (OlderElsewhere(), "cuda"),
    ],
)
def test_what_is_elsewhere_is_not_moved(array, device):
    ones = np.ones((3, 2))
    for call, name in (
        (lambda: _core.semi_nmf(array, 1), "x"),
        (lambda: _core.semi_nmf(ones, 3, init=array), "init"),
        (lambda: _core.sparse_encode(array, ones, l1=1.0), "x"),
        (lambda: _core.sparse_encode(ones, array, l1=1.0), "dictionary"),
        (lambda: _core.ground_text(ones, array, 1), "unembedding"),
        (lambda: _core.max_activating(array, 1), "codes"),
    ):
        with pytest.raises(TypeError, match=rf"^{name} is on device {device}, .*pass {name}\.cpu\(\)"):
            call()
    with pytest.raises(TypeError, match=f"^block 1 of x is on device {device}, "):
        _core.semi_nmf(RowBlocks([ones.astype(np.float32), WithShape(array)]), 1)


def WithShape(array):
    array.dtype = np.dtype(np.float32)
    return array


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (torch.ones(3, 2, device="meta"), TypeError, "codes is on device meta, where there is a shape but no values"),
        (torch.ones(3, 2).to_sparse(), ValueError, "codes cannot be read where it lies: .*layout"),
        (torch.ones(3, 2, dtype=torch.complex64).conj().imag, ValueError, r"negative .*: pass codes.resolve_neg\(\)"),
        (torch.ones(3, 2, dtype=torch.complex64), TypeError, "codes must hold real numbers; got torch.complex64"),
        (torch.ones(3, 2, dtype=torch.float8_e4m3fn), TypeError, "real numbers; got torch.float8_e4m3fn"),
        (np.ones((3, 2), ml_dtypes.float8_e4m3fn), TypeError, "real numbers; got dtype.float8_e4m3fn"),
        (np.ones((3, 2), np.dtype([("float16", "<u2")])), TypeError, "must hold real numbers"),
        (torch.ones(3), ValueError, r"codes must have 2 dimensions; got 1 with shape \(3,\)"),
        (torch.ones(3, 2, 1).bfloat16(), ValueError, r"codes must have 2 dimensions; got 3 with shape \(3, 2, 1\)"),
        (torch.tensor([[1.0, float("nan")]]).bfloat16(), ValueError, "nan at row 0, column 1"),
        (torch.ones(0, 2), ValueError, "0"),
    ],
)
def test_unfit_tensors_are_refused(array, error, message):
    with pytest.raises(error, match=message):
        _core.max_activating(array, 1)


def test_blocks_are_no_codes():
    with pytest.raises(TypeError, match=r"RowBlocks\(1 blocks, 3 x 2, float64\) is not one array"):
        _core.max_activating(RowBlocks([np.ones((3, 2))]), 1)
