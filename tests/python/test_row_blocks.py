"""RowBlocks: what it accepts, and safetensors files seen through memory maps."""

import builtins
import resource
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from coxlmm import RowBlocks, _core


def test_shape_dtype_and_length():
    blocks = RowBlocks(np.zeros((rows, 4), np.float16) for rows in (3, 0, 2))
    assert blocks.shape == (5, 4)
    assert len(blocks) == 5
    assert blocks.dtype == np.float16
    assert [len(b) for b in blocks.blocks] == [3, 0, 2]
    assert repr(blocks) == "RowBlocks(3 blocks, 5 x 4, float16)"
    tensors = RowBlocks([torch.zeros(3, 4, dtype=torch.bfloat16)])
    assert tensors.dtype == torch.bfloat16
    assert repr(tensors) == "RowBlocks(1 blocks, 3 x 4, bfloat16)"


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ([], ValueError, "blocks is empty"),
        ([ONES, [[1.0, 2.0, 3.0]]], TypeError, "block 1 must be an array or a tensor; got a list"),
        ([ONES, np.ones(3)], ValueError, r"block 1 must have 2 dimensions; got shape \(3,\)"),
        ([ONES, ONES, ONES[:, :2]], ValueError, r"block 2 has shape \(2, 2\), but block 0 has 3 columns"),
        ([ONES, ONES.astype(np.float16)], ValueError, "block 1 is of float16, but block 0 of float32"),
        ([ONES, torch.ones(2, 3).double()], ValueError, "block 1 is of torch.float64, but block 0 of float32"),
        ([ONES.astype(int)], TypeError, "block 0 must be of .*bfloat16; got int64"),
        ([ONES.astype(">f4")], TypeError, "block 0 must be of .*; got >f4"),
    ],
)
def test_what_does_not_fit_together_is_named(blocks, error, message):
    with pytest.raises(error, match=message):
        RowBlocks(blocks)


def test_it_is_not_stacked_unasked():
    with pytest.raises(TypeError, match=r"RowBlocks\(1 blocks, 2 x 3, float32\) is not one array in memory"):
        np.asarray(RowBlocks([ONES]))


@pytest.fixture
def shards(tmp_path):
    """Writes X in three files, each with another tensor before it."""

    def write(X):
        paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
        for path, part in zip(paths, np.array_split(np.arange(len(X)), 3), strict=True):
            if isinstance(X, torch.Tensor):
                save_tensors({"a": torch.ones(5), "X": X[torch.from_numpy(part)]}, path)
            else:
                save_file({"a": np.ones(5), "X": X[part]}, path)
        return paths

    return write


def states(dtype):
    return np.random.default_rng(0).standard_normal((20, 7)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors_are_mapped(shards, dtype):
    X = states(dtype)
    mapped = RowBlocks.from_safetensors(shards(X), "X")
    assert mapped.shape == X.shape
    assert mapped.dtype == dtype
    assert all(isinstance(block, np.memmap) and not block.flags.writeable for block in mapped.blocks)
    assert np.array_equal(np.concatenate(mapped.blocks), X)
    found, expected = _core.semi_nmf(mapped, 3, max_iter=4), _core.semi_nmf(X, 3, max_iter=4)
    assert np.array_equal(found.codes, expected.codes)
    assert np.array_equal(found.dictionary, expected.dictionary)


@pytest.mark.parametrize("installed", [True, False])
def test_bfloat16_safetensors_are_mapped_with_and_without_ml_dtypes(shards, monkeypatch, installed):
    X = torch.from_numpy(states(np.float32)).bfloat16()
    paths = shards(X)
    if not installed:
        real = builtins.__import__

        def without(name, *rest):
            if name == "ml_dtypes":
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
    mapped = RowBlocks.from_safetensors(paths, "X")
    assert (mapped.dtype == ml_dtypes.bfloat16) is installed
    assert repr(mapped) == "RowBlocks(3 blocks, 20 x 7, bfloat16)"
    atoms = np.eye(3, 7)
    found = _core.sparse_encode(mapped, atoms, l1=0.1).codes
    assert found.dtype == np.float32
    assert np.array_equal(found, _core.sparse_encode(X.float().numpy(), atoms, l1=0.1).codes)


def test_one_path_and_an_empty_shard(tmp_path):
    save_file({"X": ONES}, tmp_path / "full.safetensors")
    save_file({"X": ONES[:0]}, tmp_path / "empty.safetensors")
    assert RowBlocks.from_safetensors(tmp_path / "full.safetensors", "X").shape == (2, 3)
    assert RowBlocks.from_safetensors(str(tmp_path / "empty.safetensors"), "X").shape == (0, 3)
    both = RowBlocks.from_safetensors([tmp_path / "empty.safetensors", tmp_path / "full.safetensors"], "X")
    assert np.array_equal(_core.sparse_encode(both, np.eye(3), l1=0.5).codes, np.full((2, 3), 0.75))


def test_a_directory_stands_for_its_files_in_the_order_of_their_names(tmp_path):
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    for i in (2, 0, 1):
        save_file({"X": X[2 * i : 2 * i + 2]}, tmp_path / f"part-{i}.safetensors")
    (tmp_path / "manifest.json").write_text("{}")
    mapped = RowBlocks.from_safetensors(tmp_path, "X")
    np.testing.assert_array_equal(np.concatenate(mapped.blocks), X)
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no safetensors files in .*none"):
        RowBlocks.from_safetensors(tmp_path / "none", "X")


def test_unfit_files_are_named(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError):
        RowBlocks.from_safetensors(path, "X")
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged or no safetensors file"):
        RowBlocks.from_safetensors(path, "X")
    save_file({"X": ONES, "i": np.ones((2, 3), np.int32), "v": np.ones(3, np.float32)}, path)
    with pytest.raises(ValueError, match=r"x\.safetensors has no tensor 'Y'; it has 'X', 'i', 'v'"):
        RowBlocks.from_safetensors(path, "Y")
    with pytest.raises(TypeError, match=r"x\.safetensors: 'i' must be of .*BF16; got I32"):
        RowBlocks.from_safetensors(path, "i")
    with pytest.raises(ValueError, match=r"block 0 must have 2 dimensions; got shape \(3,\)"):
        RowBlocks.from_safetensors(path, "v")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged"):
        RowBlocks.from_safetensors(path, "X")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA") or sys.platform != "linux", reason="needs RLIMIT_DATA")
def test_shards_larger_than_a_memory_limit_are_fitted_and_encoded(tmp_path):
    # 128 MiB of float16 with 32 MiB for everything that the process allocates from then on; mapped files do not count.
    save_file({"X": np.ones((1 << 14, 1 << 12), np.float16)}, tmp_path / "x.safetensors")
    program = f"""
import re, resource
import numpy as np
from coxlmm import RowBlocks, _core
X = RowBlocks.from_safetensors({str(tmp_path / "x.safetensors")!r}, "X")
atoms = np.eye(2, X.shape[1])
_core.semi_nmf(np.ones((2, X.shape[1]), np.float32), 2, n_threads=1)
data = int(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + (32 << 20),) * 2)
try:
    np.ones(X.shape, np.float16)
except MemoryError:
    print("limited")
codes = _core.sparse_encode(X, atoms, l1=1.0, n_threads=1).codes
print(codes.shape, codes.min(), codes.max())
fit = _core.semi_nmf(X, 2, l1=0.0, max_iter=5, n_threads=1)
print(fit.squared_error < 1e-4 * X.shape[0] * X.shape[1])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout == f"limited\n{(1 << 14, 2)} 0.5 0.5\nTrue\n"
