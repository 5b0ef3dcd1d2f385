"""Long extractions: resumed, shared out, backing off, and never ended by one image."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import image, tiny_idefics3, tiny_llava

from coxlmm import LMM, States
from coxlmm.images import UnreadableImageError
from coxlmm.journal import ChangedRunError, JournalOnDisk, Part
from coxlmm.states import StatesGroup
from coxlmm.states_files import unfinished
from coxlmm.words import WordNotFoundError

TESTS = Path(__file__).resolve().parents[1]


def run(*arguments, env=None):
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"} | (env or {})
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("how", ["moments", "lines"])
def test_killed_at_50_moments_it_yields_the_bytes_of_an_unbroken_run(tmp_path, how):
    process = run(TESTS / "extraction" / "interrupted.py", tmp_path, how, 50)
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    outcome = json.loads(output)
    assert outcome["kills"] >= 50
    assert outcome["rounds"] >= 2
    assert outcome["left"] == []


class Interrupted(BaseException):
    pass


def interrupt_after(lmm, monkeypatch, n):
    """Lets the extraction fail before its so many-th batch."""
    calls = []
    original = lmm.inputs

    def inputs(images):
        calls.append(len(images))
        if len(calls) > n:
            raise Interrupted
        return original(images)

    monkeypatch.setattr(lmm, "inputs", inputs)
    return calls


@pytest.fixture
def interrupted(lmm, speaker, tmp_path, monkeypatch):
    """Two of three windows are done."""
    images = [speaker.images[i % 5] for i in range(40)]
    options = {"batch_size": 2, "out": tmp_path / "states"}
    with monkeypatch.context() as patch:
        interrupt_after(lmm, patch, 16)
        with pytest.raises(Interrupted):
            lmm.extract(images, "dog", **options)
    return images, options


def test_what_was_done_is_not_done_again(lmm, interrupted, monkeypatch, tmp_path):
    images, options = interrupted
    with pytest.raises(FileNotFoundError, match=r"unfinished; what it has done so far is in .*states\.unfinished"):
        States.load(options["out"])
    calls = interrupt_after(lmm, monkeypatch, 100)
    resumed = lmm.extract(images, "dog", **options)
    assert sum(calls) == 8
    whole = lmm.extract(images, "dog", batch_size=2, out=tmp_path / "whole")
    assert files(tmp_path / "states") == files(tmp_path / "whole")
    np.testing.assert_array_equal(resumed.X, whole.X)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["states", "whole"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"layer": 0}, r"layers \(was \[2\], now \[0\]\)"),
        ({"layer": [2]}, "several_layers"),
        ({"token": "last"}, r"token \(was 'first', now 'last'\)"),
        ({"position": "word"}, "position"),
        ({"stream": "mlp"}, "stream"),
        ({"batch_size": 4}, r"batch_size \(was 2, now 4\)"),
        ({"max_new_tokens": 7}, r"max_new_tokens \(was 32, now 7\)"),
        ({"temperature": 1.0, "seed": 3}, r"temperature .*; seed"),
        ({"case_sensitive": True}, "words"),
        ({"word": "zebra"}, "words .*'dog'.*'zebra'"),
    ],
)
def test_a_changed_setting_is_refused_and_named(lmm, interrupted, changed, named):
    images, options = interrupted
    before = files(unfinished(options["out"]))
    with pytest.raises(ChangedRunError, match=f"differs from this one in {named}.*resume=False"):
        lmm.extract(images, **{"word": "dog", **options, **changed})
    assert files(unfinished(options["out"])) == before


def test_another_model_is_refused(lmm, interrupted):
    images, options = interrupted
    with torch.no_grad():
        weight = lmm.model.get_parameter("model.language_model.layers.1.mlp.up_proj.weight")
        weight[0, 0] += 1
    try:
        with pytest.raises(ChangedRunError, match="weights"):
            lmm.extract(images, "dog", **options)
    finally:
        with torch.no_grad():
            weight[0, 0] -= 1
    with pytest.raises(ChangedRunError, match=r"prompt \(was .*now '<image>a'\)"):
        LMM(lmm.model, lmm.processor, prompt="<image>a").extract(images, "dog", **options)


def test_other_samples_are_refused(lmm, interrupted):
    images, options = interrupted
    with pytest.raises(ChangedRunError, match="window 0 had 16 from '0' on, and now has 16 from 'x0' on"):
        lmm.extract(images, "dog", sample_ids=[f"x{i}" for i in range(40)], **options)
    with pytest.raises(ChangedRunError, match="with other ids or references"):
        lmm.extract(images, "dog", references=["dog"] * 40, **options)


def test_started_anew(lmm, interrupted):
    images, options = interrupted
    states = lmm.extract(images, "dog", layer=0, resume=False, **options)
    assert len(states) == 16
    assert not unfinished(options["out"]).exists()


def test_what_cannot_succeed_leaves_nothing_to_resume(lmm, speaker, tmp_path):
    with pytest.raises(WordNotFoundError):
        lmm.extract(speaker.images, "lion", out=tmp_path / "states")
    with pytest.raises(ValueError, match="no images"):
        lmm.extract([], "dog", out=tmp_path / "states")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_damaged_is_done_again(lmm, interrupted, tmp_path):
    images, options = interrupted
    part = unfinished(options["out"]) / "part-000001.safetensors"
    part.write_bytes(part.read_bytes()[:-7])
    assert len(lmm.extract(images, "dog", **options)) == 16


def test_a_journal_without_its_settings_is_refused(tmp_path):
    directory = tmp_path / "states.unfinished"
    JournalOnDisk(directory, {"layer": 1}).write(0, Part({"samples": []}))
    (directory / "run.json").unlink()
    with pytest.raises(ChangedRunError, match=r"without run\.json"):
        JournalOnDisk(directory, {"layer": 1})


# -- several processes


SHARED = """
    import sys
    import torch
    from tiny_models import image, tiny_idefics3
    from coxlmm import LMM

    torch.set_num_threads(1)
    lmm = LMM(*tiny_idefics3())
    images = (image(i, (8 + i % 3 * 8, 16)) for i in range(45))
    group = lmm.extract(images, ["the", "in"], max_new_tokens=6, batch_size=2, out=sys.argv[1], verify=3)
    print(len(group["the"]), group["the"].manifest["verified"]["n"])
"""


@pytest.mark.parametrize("size", [2, 3])
def test_processes_together_yield_the_bytes_of_one(tmp_path, size):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SHARED))
    alone = run(script, tmp_path / "one")
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000), "WORLD_SIZE": str(size)}
    group = [run(script, tmp_path / "shared", env=rendezvous | {"RANK": str(rank)}) for rank in range(size)]
    outputs = []
    for process in (alone, *group):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        outputs.append(output.split())
    assert [output == outputs[0] for output in outputs] == [True] * (size + 1)
    assert files(tmp_path / "shared") == files(tmp_path / "one")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "script.py", "shared"]


# -- batches


def test_batches_hold_prompts_of_one_length_where_they_can(monkeypatch):
    lmm = LMM(*tiny_idefics3())
    lengths = []
    original = lmm.inputs

    def inputs(images):
        encoded = original(images)
        lengths.append(encoded["attention_mask"].sum(dim=1).tolist())
        return encoded

    monkeypatch.setattr(lmm, "inputs", inputs)
    pictures = [image(i, (16, 16) if i % 2 else (64, 16)) for i in range(16)]
    states = lmm.extract(pictures, None, position="prompt", max_new_tokens=1, batch_size=4)
    assert states.sample_ids == [str(i) for i in range(16)]
    assert len({length for batch in lengths for length in batch}) == 2
    assert [len(set(batch)) for batch in lengths] == [1, 1, 1, 1]


def test_the_automatic_batch_size_backs_off(monkeypatch, tmp_path):
    lmm = LMM(*tiny_llava())
    sizes = []
    original = lmm.model.generate

    def generate(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(**inputs)

    pictures = [image(i) for i in range(100)]
    options = {"position": "prompt", "max_new_tokens": 2}
    with monkeypatch.context() as patch:
        patch.setattr(lmm.model, "generate", generate)
        with pytest.raises(torch.OutOfMemoryError):
            lmm.extract(pictures, None, batch_size=64, **options)
        del sizes[:]
        states = lmm.extract(pictures, None, batch_size="auto", out=tmp_path / "auto", **options)
    # Once too many, and never again.
    assert sizes == [64, 32, 16, 16, 16, 16, 16, 16, 4]
    fixed = lmm.extract(pictures, None, batch_size=16, **options)
    assert states.captions == fixed.captions
    np.testing.assert_allclose(states.X, fixed.X, rtol=1e-4, atol=1e-5)
    assert states.manifest["batch_size"] == "auto"


def test_a_lack_of_memory_is_no_fault_of_an_image(lmm, speaker, monkeypatch):
    def inputs(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    original = lmm.inputs
    monkeypatch.setattr(lmm, "inputs", lambda images: original(images) if len(images) < 3 else inputs(images))
    assert len(lmm.extract(speaker.images, "dog", batch_size="auto")) == 2
    monkeypatch.setattr(lmm, "inputs", inputs)
    for batch_size in (2, "auto"):
        with pytest.raises(torch.OutOfMemoryError):
            lmm.extract(speaker.images, "dog", batch_size=batch_size)


def test_other_errors_are_not_taken_for_a_lack_of_memory(lmm, speaker, monkeypatch):
    def generate(**inputs):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(lmm.model, "generate", generate)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        lmm.extract(speaker.images, "dog", batch_size="auto")


# -- images that cannot be had


@pytest.mark.parametrize("workers", [0, 3])
def test_one_image_never_ends_an_extraction(lmm, speaker, tmp_path, workers):
    paths = []
    for i, picture in enumerate(speaker.images):
        paths.append(tmp_path / f"{i}.png")
        picture.save(paths[-1])
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths[2:2] = [tmp_path / "absent.png", tmp_path / "broken.png"]
    states = lmm.extract(paths, "dog", workers=workers, out=tmp_path / "states")
    assert [Path(name).name for name in states.sample_ids] == ["0.png", "4.png"]
    assert states.manifest["counts"] == {
        "seen": 7, "without_word_in_reference": 0, "unreadable": 2, "without_word_in_caption": 3, "matched": 2,
    }  # fmt: skip
    recorded = {Path(entry["id"]).name: entry["reason"] for entry in states.manifest["unreadable"]}
    assert "No such file" in recorded["absent.png"]
    assert "format" in recorded["broken.png"]
    assert States.load(tmp_path / "states").manifest == states.manifest
    with pytest.raises(UnreadableImageError, match=r"absent\.png"):
        lmm.extract(paths, "dog", workers=workers, on_error="raise")


def test_an_image_that_the_processor_refuses_is_left_out(lmm, speaker, monkeypatch):
    original = lmm.processor.image_processor.preprocess

    def preprocess(images, *args, **kwargs):
        flat = [one for entry in images for one in (entry if isinstance(entry, list) else [entry])]
        if any(picture.size == (1, 1) for picture in flat):
            raise ValueError("mean must have 1 elements")
        return original(images, *args, **kwargs)

    monkeypatch.setattr(lmm.processor.image_processor, "preprocess", preprocess)
    images = [*speaker.images[:2], Image.new("RGB", (1, 1)), *speaker.images[2:]]
    states = lmm.extract(images, "dog")
    assert states.sample_ids == ["0", "5"]
    assert states.manifest["unreadable"] == [{"id": "2", "reason": "ValueError: mean must have 1 elements"}]
    # Where nothing at all can be put in, it is not the images' fault.
    with pytest.raises(ValueError, match="mean must have 1"):
        lmm.extract(images[2:3], "dog")


# -- what verifying leaves behind


def test_verified_states_are_the_same_however_they_came(lmm, speaker, tmp_path):
    images = [speaker.images[i % 5] for i in range(40)]
    group = lmm.extract(images, ["dog", "zebra"], layer=[0, -1], verify=4, batch_size=2, out=tmp_path / "a")
    lmm.extract(iter(images), ["dog", "zebra"], layer=[0, -1], verify=4, batch_size=2, workers=0, out=tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    for states in StatesGroup.load(tmp_path / "a").values():
        assert states.manifest["verified"]["n"] == 4
    assert group["dog", 0].manifest["verified"] == StatesGroup.load(tmp_path / "a")["dog", 0].manifest["verified"]
