"""States on disk and in memory: nothing is lost, and nothing is ever half there."""

import json
import mmap
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from coxlmm import RowBlocks, States, states_files
from coxlmm.states import StatesGroup

SHARD = "states-00001-of-00001.safetensors"


def make(n=5, seed=0, references=True, **manifest):
    rng = np.random.default_rng(seed)
    return States(
        X=rng.standard_normal((n, 4)),
        sample_ids=[f"image {i}.png" for i in range(n)],
        captions=[f"a dög {i}" for i in range(n)],
        positions=rng.integers(0, 9, n),
        manifest={"word": "dög", "layer": 2, **manifest},
        references=[(f"the dög {i}", "one")[: 1 + i % 2] for i in range(n)] if references else None,
        tokens=[list(range(i)) for i in range(n)] if references else None,
    )


def assert_equal(a, b):
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.positions, b.positions)
    assert a.X.dtype == b.X.dtype == np.float32
    assert a.positions.dtype == b.positions.dtype == np.int64
    for name in ("sample_ids", "captions", "references", "tokens", "words", "manifest"):
        assert getattr(a, name) == getattr(b, name)


@pytest.mark.parametrize("references", [True, False])
@pytest.mark.parametrize("n", [0, 5])
def test_round_trip(tmp_path, n, references):
    states = make(n, references=references)
    path = states.save(tmp_path / "deep" / "states")
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "samples.jsonl", SHARD]
    assert_equal(States.load(path), states)
    assert [p.name for p in path.parent.iterdir()] == ["states"]


def test_names_of_files_that_are_no_text_survive(tmp_path):
    states = make(path=os.fsdecode(b"caf\xe9"))
    states.sample_ids[0] = os.fsdecode(b"caf\xe9.png")
    states.captions[0] = '犬 \\udc80 "dog"'
    loaded = States.load(states.save(tmp_path / "states"))
    assert_equal(loaded, states)
    assert os.fsencode(loaded.sample_ids[0]) == b"caf\xe9.png"
    assert "犬" in (tmp_path / "states" / "samples.jsonl").read_text(encoding="utf-8")


def test_a_link_stays_and_the_directory_behind_it_is_replaced(tmp_path):
    make(seed=0).save(tmp_path / "disk" / "states")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "states")
    for seed in (1, 2):
        make(seed=seed).save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert_equal(States.load(tmp_path / "disk" / "states"), make(seed=seed))
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "disk", "link", "manifest.json", "samples.jsonl", "states", SHARD
    ]  # fmt: skip
    os.rename(tmp_path / "disk" / "states", tmp_path / "disk" / ".states.replaced")
    with pytest.raises(FileNotFoundError, match=r"previous one is intact in .*disk/\.states\.replaced"):
        States.load(tmp_path / "link")


def test_what_cannot_be_cleaned_up_is_no_failed_save(tmp_path, monkeypatch):
    make(seed=0).save(tmp_path / "states")

    def refuse(path, ignore_errors=False):
        if not ignore_errors:
            raise PermissionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        make(seed=1).save(tmp_path / "states")
    assert_equal(States.load(tmp_path / "states"), make(seed=1))
    make(seed=2).save(tmp_path / "states")
    assert [p.name for p in tmp_path.iterdir()] == ["states"]


def test_the_same_states_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        make().save(tmp_path / name)
    for file in ("manifest.json", "samples.jsonl", SHARD):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_saving_replaces_states_and_nothing_else(tmp_path):
    make(seed=0).save(tmp_path / "states")
    make(7, seed=1).save(tmp_path / "states")
    assert_equal(States.load(tmp_path / "states"), make(7, seed=1))
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="thesis"):
        make().save(other)
    assert (other / "chapter.tex").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["states", "thesis"]


def test_a_failing_save_leaves_what_was_there(tmp_path):
    make().save(tmp_path / "states")
    with pytest.raises(TypeError):
        make(seed=1, device=object()).save(tmp_path / "states")
    assert_equal(States.load(tmp_path / "states"), make())
    assert [p.name for p in tmp_path.iterdir()] == ["states"]


# Forks a child for every line that a save executes, and kills it there: no moment of a save is left out.
KILL_AT_EVERY_LINE = """
    import os, shutil, sys
    import numpy as np
    from pathlib import Path
    from coxlmm import States, atomic, states, states_files
    from extraction.killing import kill_at

    def make(seed):
        return States(np.full((3, 2), seed), ["a", "b", "c"], ["x"] * 3, [0, 1, 2], {"seed": seed})

    # Against power cuts only: a kill loses nothing that was written, and dozens of them take their time.
    os.fsync = lambda descriptor: None

    root, replacing = Path(sys.argv[1]), sys.argv[2] == "replacing"
    outcomes = []
    for line in range(1, 1000):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        if replacing:
            make(1).save(root / "states")
        child = os.fork()
        if child == 0:
            kill_at(line, (atomic, states, states_files))
            make(2).save(root / "states")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        try:
            outcome = States.load(root / "states").manifest["seed"]
        except FileNotFoundError as error:
            if replacing:
                assert "previous one is intact" in str(error), error
                assert States.load(root / ".states.replaced").manifest["seed"] == 1
            assert not (root / "states").exists()
            outcome = "absent"
        outcomes.append(outcome)
        make(3).save(root / "states")
        assert States.load(root / "states").manifest["seed"] == 3
    print(line, *sorted(set(map(str, outcomes))))
"""


@pytest.mark.parametrize(("before", "outcomes"), [("nothing", {"absent", "2"}), ("replacing", {"1", "absent", "2"})])
def test_killed_at_any_line_nothing_is_half_written(tmp_path, before, outcomes):
    script = textwrap.dedent(KILL_AT_EVERY_LINE)
    command = [sys.executable, "-c", script, str(tmp_path / "root"), before]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    lines, *seen = done.stdout.split()
    assert 30 < int(lines) < 999
    assert set(seen) == outcomes


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        States.load(tmp_path / "nowhere")
    path = make().save(tmp_path / "states")
    (path / SHARD).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{SHARD} is missing"):
        States.load(path)


def edit_manifest(path, **changes):
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_damaged(tmp_path):
    path = make().save(tmp_path / "states")
    tensors = path / SHARD
    whole = tensors.read_bytes()
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1])):
        tensors.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged or does not belong"):
            States.load(path)
    tensors.write_bytes((make(seed=1).save(tmp_path / "other") / SHARD).read_bytes())
    with pytest.raises(ValueError, match="does not belong"):
        States.load(path)


def test_damaged_manifest(tmp_path):
    path = make().save(tmp_path / "states")
    edit_manifest(path, shards=[])
    with pytest.raises(ValueError, match="damaged"):
        States.load(path)
    for version, advice in ((1, "extract them again"), (99, "update coxlmm")):
        edit_manifest(path, version=version)
        with pytest.raises(ValueError, match=f"version {version}.*{advice}"):
            States.load(path)
    edit_manifest(path, format="something else")
    with pytest.raises(ValueError, match=r"coxlmm\.states"):
        States.load(path)
    (path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        States.load(path)


def test_shards_are_one_matrix(tmp_path, monkeypatch):
    states = make(23)
    whole = (states.save(tmp_path / "whole") / "samples.jsonl").read_bytes()
    monkeypatch.setattr(states_files, "_SHARD_BYTES", 5 * (4 * 4 + 8))
    path = states.save(tmp_path / "shards")
    assert [len(load_file(shard)["X"]) for shard in sorted(path.glob("*.safetensors"))] == [5, 5, 5, 5, 3]
    assert_equal(States.load(path), states)
    assert (path / "samples.jsonl").read_bytes() == whole
    blocks = RowBlocks.from_safetensors(sorted(path.glob("*.safetensors")), "X")
    np.testing.assert_array_equal(np.concatenate(blocks.blocks), states.X)


@pytest.mark.parametrize("sizes", [[23], [1] * 23, [4, 0, 7, 5, 1, 6], [5, 5, 5, 5, 3]])
def test_the_bytes_do_not_depend_on_how_rows_come(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(states_files, "_SHARD_BYTES", 5 * (4 * 4 + 8))
    states = make(23, references=False)
    expected = states.save(tmp_path / "expected")
    writer = states_files.StatesWriter(tmp_path / "parts", 4)
    start = 0
    for size in sizes:
        for i in range(start, start + size):
            writer.describe(states.sample_ids[i], states.captions[i])
        writer.add(states.X[start : start + size], states.positions[start : start + size])
        start += size
    writer.close(states.manifest)
    files = sorted(p.name for p in expected.iterdir())
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == files
    for name in files:
        assert (tmp_path / "parts" / name).read_bytes() == (expected / name).read_bytes()


def test_rows_without_a_sample_are_refused(tmp_path):
    writer = states_files.StatesWriter(tmp_path / "states", 4)
    writer.add(np.zeros((3, 4), np.float32), np.zeros(3, np.int64))
    writer.describe("a", "a dog", rows=2)
    with pytest.raises(ValueError, match="2 rows, but X has 3"):
        writer.close({})


def test_a_sample_of_several_rows(tmp_path):
    writer = states_files.StatesWriter(tmp_path / "states", 4, ["tokens"])
    writer.add(np.ones((3, 4), np.float32), np.arange(3))
    writer.describe("a", "a dog", rows=2, tokens=[7])
    writer.describe("b", "a cat", rows=1, tokens=[8, 9])
    writer.close({"word": None})
    states = States.load(tmp_path / "states")
    assert (states.sample_ids, states.tokens) == (["a", "a", "b"], [[7], [7], [8, 9]])
    np.testing.assert_array_equal(states.positions, [0, 1, 2])


def test_one_file_is_mapped_not_read(tmp_path):
    loaded = States.load(make().save(tmp_path / "states"))
    base = loaded.X
    while isinstance(base, np.ndarray) and base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, (np.memmap, mmap.mmap))
    # What was mapped stays while something else takes its place.
    make(seed=1).save(tmp_path / "states")
    np.testing.assert_array_equal(loaded.X, make().X)


@pytest.mark.parametrize(
    "keys",
    [
        ["dog", "ice cream/über"],
        [0, 7],
        [("dog", 0), ("dog", 1)],
        ["Dog", "dog", ".", "..", "group.json", "狗" * 200, "狗" * 201, "\udce9"],
    ],
)
def test_a_group(tmp_path, keys):
    group = StatesGroup({key: make(seed=i) for i, key in enumerate(keys)})
    path = group.save(tmp_path / "states")
    loaded = StatesGroup.load(path)
    assert list(loaded) == keys
    for key in keys:
        assert_equal(loaded[key], group[key])
    assert len({p.name.casefold() for p in path.iterdir()}) == len(keys) + 1
    with pytest.raises(ValueError, match=r"several states.*StatesGroup\.load"):
        States.load(path)
    with pytest.raises(KeyError, match="'cat': there are"):
        group["cat"]
    make().save(path)
    assert_equal(States.load(path), make())
    with pytest.raises(FileNotFoundError, match=r"group\.json"):
        StatesGroup.load(path)


def test_subset():
    states = make()
    np.testing.assert_array_equal(states.subset([3, 1]).X, states.X[[3, 1]])
    assert states.subset([3, -5]).captions == ["a dög 3", "a dög 0"]
    assert states.subset(states.positions >= 0).sample_ids == states.sample_ids
    assert states.subset(slice(1, 3)).references == [("the dög 1", "one"), ("the dög 2",)]
    assert len(states.subset([])) == 0
    assert states.subset([2]).manifest == states.manifest
    with pytest.raises(IndexError):
        states.subset([5])
    with pytest.raises(IndexError):
        states.subset([True, False])


def test_lengths_are_checked():
    with pytest.raises(ValueError, match=r"captions .* 2 rows .* got 1"):
        States(np.zeros((2, 3)), ["a", "b"], ["x"], [0, 0])
    with pytest.raises(ValueError, match=r"positions .* 2 rows"):
        States(np.zeros((2, 3)), ["a", "b"], ["x", "y"], [0])
    with pytest.raises(ValueError, match=r"\(3,\)"):
        States(np.zeros(3), ["a"], ["x"], [0])


def test_states_need_no_torch():
    code = "import sys; from coxlmm import States; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def of_two_words():
    cats = make(3, seed=1, word="cat", n_images=4)
    return StatesGroup({"dög": make(5, n_images=9), "cat": cats})


@pytest.mark.parametrize("saved", [True, False])
def test_states_of_several_words_go_together_and_apart(tmp_path, saved):
    group = of_two_words()
    together = group.together()
    if saved:
        together = States.load(together.save(tmp_path / "states"))
    assert together.words == ["dög"] * 5 + ["cat"] * 3
    assert together.manifest == {"word": ["dög", "cat"], "layer": 2}
    np.testing.assert_array_equal(together.X, np.concatenate([states.X for states in group.values()]))
    for word, states in together.apart().items():
        assert_equal(replace(states, manifest={}), replace(group[word], manifest={}))
        assert states.manifest == {"word": word, "layer": 2}
    assert together.subset([7, 0]).words == ["cat", "dög"]


def test_states_of_one_word_are_together_already():
    states = make()
    assert StatesGroup({"dög": states}).together() is states
    assert dict(states.apart()) == {"dög": states}


def test_states_of_several_layers_have_nothing_in_common():
    with pytest.raises(ValueError, match=r"several layers \(2, 3\).*StatesGroup\(2: 5, 3: 5\)"):
        StatesGroup({2: make(), 3: make(layer=3)}).together()
