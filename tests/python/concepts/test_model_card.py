"""What a saved dictionary says of itself, to people and to the hub."""

import re
from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import ModelCard

from coxlmm import ConceptDictionary, SemiNMF
from coxlmm.concept import Effect
from coxlmm.estimators import Whitened
from coxlmm.grounding import Word


def card_of(dictionary, tmp_path):
    return (dictionary.save_pretrained(tmp_path / "d") / "README.md").read_text()


def rows(card):
    """Cells of all rows of tables, as GitHub's Markdown splits them."""
    lines = [line for line in card.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_it_says_what_the_dictionary_is(dictionary, tmp_path):
    dictionary.manifest |= {
        "revision": "abc123", "stream": "residual", "position": "predicting", "source": {"path": "/data/coco.json"},
        "counts": {"seen": 100, "without_word_in_reference": 30, "without_word_in_caption": 10},
    }  # fmt: skip
    facts = {row[0]: row[1] for row in rows(card_of(dictionary, tmp_path)) if len(row) == 2}
    assert facts["model"] == "`owner/model`"
    assert facts["revision"] == "`abc123`"
    assert facts["word"] == "`dog`"
    assert facts["layer, from 0"] == "`2` of `3`"
    assert facts["stream"] == "`residual`"
    assert facts["position"] == "`predicting`"
    assert facts["images"] == "`coco.json`"
    assert facts["samples"] == "60"
    assert facts["left out: no reference caption with the word"] == "`30`"
    assert facts["concepts"] == "4"
    assert facts["space"] == "12 features, before the final norm"
    assert facts["estimator"].startswith("`SemiNMF(init='kmeans++', l1=0.5, ")
    assert facts["relative squared error"] == f"{dictionary.relative_error:.4f}"


def test_words_that_share_a_dictionary_are_all_named(dictionary, tmp_path):
    dictionary.manifest["word"] = ["dog", "cat"]
    card = card_of(dictionary, tmp_path)
    assert "# Concepts of `owner/model` at `dog`, `cat`\n" in card


def test_an_estimator_in_another_is_shown_as_it_is_made(states, tmp_path):
    dictionary = ConceptDictionary.fit(states, Whitened(SemiNMF(2, l1=0.03, random_state=0), random_state=0))
    facts = dict(row for row in rows(card_of(dictionary, tmp_path)) if len(row) == 2)
    assert facts["estimator"].startswith("`Whitened(estimator=SemiNMF(init='kmeans++', l1=0.03, ")


def test_the_hub_reads_its_metadata(dictionary, tmp_path):
    card = ModelCard(card_of(dictionary, tmp_path))
    assert card.data.library_name == "coxlmm"
    assert card.data.base_model == "owner/model"
    assert "interpretability" in card.data.tags
    assert card.data.license is None


@pytest.mark.parametrize("model", ["/home/me/model", "model", None, "a/b/c", "owner/model\nlicense: mit", "../x"])
def test_what_is_no_repository_is_no_base_model(dictionary, tmp_path, model):
    dictionary.manifest["model_id"] = model
    card = ModelCard(card_of(dictionary, tmp_path))
    assert card.data.base_model is None
    assert card.data.license is None
    assert 'LMM.from_pretrained("the model above"' in card.text


def test_its_code_loads_the_model_as_it_was(dictionary, tmp_path):
    dictionary.manifest |= {"revision": "v2", "prompt": 'say:\n```\n"x"'}
    code = card_of(dictionary, tmp_path).split("```python\n")[1].split("\n```\n")[0]
    calls = []

    class Recorder:
        def from_pretrained(self, *arguments, **options):
            calls.append((arguments, options))
            return self

        def explain(self, *_):
            return ""

    exec(code.split("\n\n", 1)[1], {"LMM": Recorder(), "ConceptDictionary": Recorder()})
    assert calls[1] == (("owner/model",), {"revision": "v2", "prompt": 'say:\n```\n"x"'})


def test_nothing_foreign_becomes_markup(dictionary, tmp_path):
    hostile = "x\n\n# heading | `hostile` \\| <script>alert(1)</script> [a](javascript:b)\n---\n```"
    dictionary.words[0][0] = Word(hostile, 1.0)
    dictionary.manifest |= {"prompt": hostile, "word": hostile, "source": {"name": hostile}, "revision": hostile}
    dictionary.measures = {hostile: {"mean": 0.5}, "note": hostile}
    text = card_of(dictionary, tmp_path)
    fenced = text.split("```python\n")[1].split("\n```\n")[0]
    body = text.replace(fenced, "")
    assert not [line for line in body.splitlines() if line.startswith(("# heading", "<script"))]
    # Between two backticks nothing is markup; outside of them nothing hostile is left.
    outside = re.sub(r"`[^`\n]*`", "", body.replace("```", ""))
    assert "script" not in outside
    assert "[a]" not in outside
    assert "hostile" not in outside
    assert "heading" not in outside
    assert text.count("---\n") == 2
    assert {len(row) for row in rows(text)} == {2, 3}


def test_measures_are_a_table_with_their_spreads(dictionary, tmp_path):
    dictionary.measures = {"figures": {"clip_score": {"mean": 0.61234, "std": 0.01}, "overlap": {"mean": 0.25}}, "n": 5}
    found = {row[0]: row[1] for row in rows(card_of(dictionary, tmp_path)) if len(row) == 2}
    assert found["`figures` / `clip_score`"] == "0.612 ± 0.010"
    assert found["`figures` / `overlap`"] == "0.250"
    assert found["`n`"] == "`5`"


def test_two_kinds_of_stability_are_told_apart(dictionary, tmp_path):
    dictionary.stability = np.array([0.9, 0.8, 0.7, 0.0])
    dictionary.measures = {"evaluation": {"figures": {"semi_nmf": {"stability": {"mean": 0.8}}}}}
    card = card_of(dictionary, tmp_path)
    found = {row[0]: row[1] for row in rows(card) if len(row) == 2}
    assert found["mean stability of its concepts, unused ones too (cosine, matched with other seeds)"] == "0.600"
    assert found["`evaluation` / `figures` / `semi_nmf` / `stability`"] == "0.800"
    note = "Stability in this table is only of concepts that a sample activates"
    assert note in card
    dictionary.measures = {"note": "stability"}
    assert note not in card_of(dictionary, tmp_path)


def test_it_says_how_heat_maps_were_made(dictionary, tmp_path):
    assert "| heat maps |" not in card_of(dictionary, tmp_path)
    dictionary.manifest["localisation"] = {"method": "occlusion"}
    assert ["heat maps", "`occlusion`"] in rows(card_of(dictionary, tmp_path))


def test_concepts_are_ranked_and_say_what_was_found_of_them(dictionary, tmp_path):
    dictionary.stability = np.array([0.9, 0.8, 0.7, 0.6])
    dictionary.effects = [Effect(0.5, 0.5, 0.1, 0.1, p, 8, 4) for p in (0.01, 0.9, 0.01, 0.01)]
    dictionary.effects[2] = replace(dictionary.effects[2], matched_divergence=0.25)
    table = rows(card_of(dictionary, tmp_path))[-4:]
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    assert [int(row[0]) for row in table] == [c.index for c in ranked]
    for row, concept in zip(table, ranked, strict=True):
        assert row[2] == f"{concept.stability:.2f}"
        assert row[3] == {1: "0.5 (0.1), no more than chance", 2: "0.5 (0.1; 0.25)"}.get(concept.index, "0.5 (0.1)")
        assert row[4] == ", ".join(f"`{word.text}`" for word in concept.words)


def test_of_a_dictionary_that_is_not_grounded_there_is_a_card(states, tmp_path):
    states.manifest = {}
    card = card_of(ConceptDictionary.fit(states, SemiNMF(2, random_state=0)), tmp_path)
    assert "# Concepts of `a multimodal model`\n" in card
    assert len(rows(card)[-1]) == 3
