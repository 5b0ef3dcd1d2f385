"""Samples that come in batches, that lie in files larger than the memory, or that several processes hold."""

import copy
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from planted import objective, planted
from safetensors.numpy import save_file
from sklearn.base import clone

from coxlmm import NMF, RowBlocks, SemiNMF


def batches(X, size):
    return [X[start : start + size] for start in range(0, len(X), size)]


def test_batches_come_near_a_fit_of_all():
    X = planted(600, 30, 6, seed=0)
    model = SemiNMF(6, l1=0.3, random_state=0)
    for _ in range(3):
        for batch in batches(X, 100):
            assert model.partial_fit(batch) is model
    assert model.n_batches_ == 18
    assert model.n_samples_seen_ == 1800
    assert np.linalg.norm(model.components_, axis=1).max() <= 1 + 1e-12
    whole = SemiNMF(6, l1=0.3, random_state=0).fit(X)
    first = SemiNMF(6, l1=0.3, random_state=0).fit(X[:100])

    def reached(model):
        return objective(X, model.transform(X), model.components_, 0.3)

    assert reached(model) <= 1.01 * whole.objective_
    assert reached(model) < reached(first)


def test_the_objective_is_that_of_the_batch_before_it_was_learned_from():
    X = planted(300, 20, 4, seed=1)
    model = SemiNMF(4, l1=0.3, random_state=0).partial_fit(X[:200])
    batch = X[200:]
    expected = objective(batch, model.transform(batch), model.components_, 0.3)
    assert model.partial_fit(batch).objective_ == pytest.approx(expected, rel=1e-6)


def test_a_batch_that_is_refused_changes_nothing():
    X = planted(100, 20, 4, seed=0)
    model = SemiNMF(4, random_state=0)
    with pytest.raises(ValueError, match="n_components=4 exceeds n_samples=3"):
        model.partial_fit(X[:3])
    model.partial_fit(X)
    components = model.components_.copy()
    with pytest.raises(ValueError, match="X has 19 features, but SemiNMF is expecting 20 features"):
        model.partial_fit(X[:, :19])
    broken = X.copy()
    broken[7, 3] = np.nan
    with pytest.raises(ValueError, match="NaN at row 7, column 3"):
        model.partial_fit(broken)
    np.testing.assert_array_equal(model.components_, components)
    assert model.partial_fit(X[:2]).n_batches_ == 2  # later batches may be small
    fitted = SemiNMF(4, random_state=0).fit(X)
    before = vars(fitted).copy()
    for batch in (X[:3, :7], broken[:, :19]):
        with pytest.raises(ValueError, match=r"n_samples=3|NaN at row 7"):
            fitted.partial_fit(batch)
        assert vars(fitted) == before


@pytest.mark.parametrize("form", [np.float16, torch.tensor, lambda X: RowBlocks([X[:30], X[30:]])])
def test_batches_in_any_form(form):
    X = np.round(planted(100, 12, 3, seed=0)).astype(np.float32)
    expected, model = SemiNMF(3, random_state=0), SemiNMF(3, random_state=0)
    for _ in range(2):
        expected.partial_fit(X)
        model.partial_fit(form(X))
    assert model.components_.dtype == np.float32
    np.testing.assert_allclose(model.components_, expected.components_, atol=1e-5)


def test_fit_and_partial_fit_forget_each_other():
    X = planted(100, 20, 4, seed=0)
    model = SemiNMF(4, random_state=0).partial_fit(X).partial_fit(X)
    assert not hasattr(model.fit(X), "n_batches_")
    np.testing.assert_array_equal(model.components_, SemiNMF(4, random_state=0).fit(X).components_)
    model.partial_fit(X)
    assert model.n_batches_ == 1
    assert not hasattr(model, "history_")
    assert not hasattr(clone(model), "components_")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_transforms_but_cannot_be_continued(copied):
    X = planted(100, 20, 4, seed=0)
    model = SemiNMF(4, random_state=0).partial_fit(X)
    other = copied(model)
    np.testing.assert_array_equal(other.transform(X), model.transform(X))
    with pytest.raises(ValueError, match="copied or unpickled"):
        other.partial_fit(X)
    assert other.fit(X).partial_fit(X).n_batches_ == 1
    assert model.partial_fit(X).n_batches_ == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves file mappings out of RLIMIT_DATA")
def test_files_larger_than_the_memory_are_fitted_and_encoded(tmp_path):
    rows, features = 4000, 1024
    X = planted(3 * rows, features, 6, seed=0, dtype=np.float32)
    for i in range(3):
        save_file({"X": X[i * rows : (i + 1) * rows]}, tmp_path / f"{i}.safetensors")
    program = f"""
    import resource, sys, numpy as np
    from coxlmm import RowBlocks, SemiNMF
    X = RowBlocks.from_safetensors([f"{{sys.argv[1]}}/{{i}}.safetensors" for i in range(3)], "X")
    kilobytes = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
    limit = 1024 * kilobytes + {X.nbytes // 2}
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        np.ones({X.shape}, np.float32)
    except MemoryError:
        print("the memory does not hold them")
    model = SemiNMF(6, l1=0.3, random_state=0, n_jobs=1).fit(X)
    np.savez(sys.argv[1] + "/found.npz", components=model.components_, codes=model.transform(X))
    """
    run = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "the memory does not hold them\n"
    found = np.load(tmp_path / "found.npz")
    model = SemiNMF(6, l1=0.3, random_state=0).fit(X)
    np.testing.assert_array_equal(found["components"], model.components_)
    np.testing.assert_array_equal(found["codes"], model.transform(X))


@pytest.mark.parametrize("kind", ["SemiNMF", "NMF"])
def test_two_processes_find_what_one_finds(tmp_path, kind):
    X = np.abs(planted(400, 30, 5, seed=3, noise=0.2))
    start = X[::80]
    np.savez(tmp_path / "data.npz", X=X, start=start)
    program = f"""
    import sys, numpy as np, torch.distributed
    from sklearn.base import clone
    from coxlmm import {kind}
    from coxlmm.distributed import TorchProcessGroup
    folder, rank = sys.argv[1], int(sys.argv[2])
    torch.distributed.init_process_group("gloo", init_method=f"file://{{folder}}/meet", rank=rank, world_size=2)
    data = np.load(folder + "/data.npz")
    group = TorchProcessGroup(torch.distributed.new_group([0, 1]))
    model = clone({kind}(5, l1=0.3, init=data["start"], n_jobs=1, process_group=group))
    codes = model.fit_transform(data["X"][200 * rank : 200 * (rank + 1)])
    np.savez(f"{{folder}}/{{rank}}.npz", components=model.components_, codes=codes, objective=model.objective_)
    torch.distributed.destroy_process_group()
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    runs = [subprocess.Popen([*run, str(tmp_path), str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    one, other = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    np.testing.assert_array_equal(one["components"], other["components"])
    alone = {"SemiNMF": SemiNMF, "NMF": NMF}[kind](5, l1=0.3, init=start)
    codes = alone.fit_transform(X)
    np.testing.assert_allclose(one["components"], alone.components_, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([one["codes"], other["codes"]]), codes, atol=1e-4)
    assert one["objective"] == pytest.approx(alone.objective_, rel=1e-8)
    assert one["objective"] == other["objective"]


def test_a_group_of_one_process_changes_nothing():
    class Alone:
        rank, size = 0, 1

        def sum(self, values):
            raise AssertionError("there is nobody to add up with")

    X = planted(100, 20, 4, seed=0)
    expected = SemiNMF(4, random_state=0).fit(X).components_
    np.testing.assert_array_equal(SemiNMF(4, random_state=0, process_group=Alone()).fit(X).components_, expected)


def test_what_the_group_raises_is_raised():
    class Broken:
        rank, size = 0, 2

        def sum(self, values):
            raise ConnectionError("the other process is gone")

    with pytest.raises(ConnectionError, match="the other process is gone"):
        SemiNMF(4, process_group=Broken()).fit(planted(100, 20, 4, seed=0))
    with pytest.raises(ValueError, match="partial_fit runs in one process"):
        SemiNMF(4, process_group=Broken()).partial_fit(planted(100, 20, 4, seed=0))


def test_torch_must_have_been_told_of_the_processes():
    from coxlmm.distributed import TorchProcessGroup

    with pytest.raises(RuntimeError, match="init_process_group first"):
        TorchProcessGroup()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_sample_at_a_time(dtype):
    X = planted(50, 20, 4, seed=0, dtype=dtype)
    model = SemiNMF(4, l1=0.3, random_state=0).fit(X)
    encode = model.encoder()
    codes = model.transform(X)
    np.testing.assert_array_equal(encode(X), codes)
    np.testing.assert_array_equal(np.stack([encode(x) for x in X]), codes)
    np.testing.assert_array_equal(encode(X[::-2][3]), codes[::-2][3])
    np.testing.assert_array_equal(encode(torch.tensor(X[5])), codes[5])
    assert encode(X[0]).dtype == dtype
    with pytest.raises(ValueError, match="X has 19 features but the dictionary has 20"):
        encode(X[0, :19])
