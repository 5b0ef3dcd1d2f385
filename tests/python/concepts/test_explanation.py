"""One image -> its concepts, on a model whose states are known."""

import json

import numpy as np
import pytest

from coxlmm import LMM, ConceptDictionary, SemiNMF
from coxlmm.report import report_html
from coxlmm.words import WordNotFoundError


def test_it_decomposes_the_state_that_predicts_the_word(dog_dictionary, lmm, speaker):
    explanation = dog_dictionary.explain(lmm, speaker.images[2])
    state = speaker.embedding(speaker.tokenizer.convert_tokens_to_ids("Ġblue")).astype(np.float64)
    codes = dog_dictionary.estimator.transform(state[None])[0]
    assert explanation.caption == "one blue dog"
    assert explanation.caption[slice(*explanation.span)] == explanation.word == "dog"
    assert explanation.position == 2
    np.testing.assert_allclose(explanation.activations, codes, atol=1e-5)
    (top,) = explanation.concepts
    assert top.concept.index == codes.argmax()
    assert {hit.caption for hit in top.concept.images} == {"one blue dog", "my blue dog"}
    assert top.activation == pytest.approx(codes.max(), rel=1e-4)
    assert top.share == pytest.approx(1)
    residual = state - codes @ dog_dictionary.components
    assert explanation.residual == pytest.approx(residual @ residual / (state @ state), rel=1e-2)


def test_a_path_is_explained_like_the_image(dog_dictionary, lmm, speaker, tmp_path):
    path = tmp_path / "blue.png"
    speaker.images[2].save(path)
    explanation = dog_dictionary.explain(lmm, path)
    assert explanation.sample_id == str(path)
    assert explanation.to_dict() | {"sample_id": "0"} == dog_dictionary.explain(lmm, speaker.images[2]).to_dict()


def test_shares_are_of_all_activations_and_the_rest_is_counted(lmm, speaker, dog_states, dog_dictionary):
    # Of the concepts x + y and x - y / 2, and without a penalty, the state x needs both.
    dictionary = ConceptDictionary.fit(dog_states, SemiNMF(2, l1=0.0, random_state=0)).ground(lmm)
    x, y = dog_states.X[0], dog_states.X[2]
    dictionary.estimator.components_ = np.stack([x + y, x - y / 2])
    mixed = dictionary.explain(lmm, speaker.images[0])
    assert [a.share for a in mixed.concepts] == pytest.approx([2 / 3, 1 / 3], rel=1e-3)
    assert [a.concept.index for a in mixed.concepts] == [1, 0]
    first = dictionary.explain(lmm, speaker.images[0], n_concepts=1)
    assert len(first.concepts) == 1
    assert first.n_active == 2
    assert "1 more" in str(first)
    assert "1 more concept is active" in first._repr_html_()


def test_to_dict_is_json_and_complete(dog_dictionary, lmm, speaker):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    document = json.loads(json.dumps(explanation.to_dict()))
    assert document["caption"] == "a red dog"
    assert document["activations"] == pytest.approx(explanation.activations.tolist())
    assert document["concepts"][0]["words"][0]["text"] == explanation.concepts[0].concept.words[0].text
    assert document["concepts"][0]["index"] == explanation.concepts[0].concept.index


def test_in_a_terminal_and_in_a_notebook(dog_dictionary, lmm, speaker):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    assert str(explanation).startswith("a red [dog]\n  100%  concept ")
    assert "of the state's squared norm is not explained" in str(explanation)
    html = explanation._repr_html_()
    assert "a red <mark>dog</mark>" in html
    assert "data:image/webp;base64," in html
    assert len(repr(explanation)) < 300


def test_a_caption_without_the_word_says_so(dog_dictionary, lmm, speaker):
    with pytest.raises(WordNotFoundError, match=r"'the tabby cat', does not contain the word 'dog'"):
        dog_dictionary.explain(lmm, speaker.images[6])


def test_a_dictionary_of_another_model_is_refused(dog_dictionary, lmm, speaker):
    dog_dictionary.manifest["n_layers"] = 32
    with pytest.raises(ValueError, match=r"with 32 layers, but .* has 3"):
        dog_dictionary.explain(lmm, speaker.images[0])
    del dog_dictionary.manifest["layer"]
    with pytest.raises(ValueError, match="no word or no layer"):
        dog_dictionary.explain(lmm, speaker.images[0])
    with pytest.raises(ValueError, match="n_concepts must be at least 1, got 0"):
        dog_dictionary.explain(lmm, speaker.images[0], n_concepts=0)


def test_another_prompt_is_refused(dog_dictionary, speaker):
    other = LMM(speaker.model, speaker.processor, prompt="<image>a photo of")
    with pytest.raises(ValueError, match=r"with the prompt '<image>', but the model has '<image>a photo of'"):
        dog_dictionary.explain(other, speaker.images[0])


def test_a_loaded_dictionary_explains_the_same(dog_dictionary, lmm, speaker, tmp_path):
    loaded = ConceptDictionary.from_pretrained(dog_dictionary.save_pretrained(tmp_path / "d"))
    one, other = (d.explain(lmm, speaker.images[4]) for d in (dog_dictionary, loaded))
    assert one.to_dict() == other.to_dict()
    assert report_html(loaded, explanations=[other]) == report_html(dog_dictionary, explanations=[one])


def test_an_image_that_is_not_one_is_named(dog_dictionary, lmm, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png"):
        dog_dictionary.explain(lmm, tmp_path / "broken.png")
