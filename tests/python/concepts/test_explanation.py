"""One image -> its concepts, on a model whose states are known."""

import json

import numpy as np
import pytest

from coxlmm import LMM, PCA, ConceptDictionary, KMeans, SemiNMF
from coxlmm.localisation import Spoken, heat_maps_of
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


def test_shares_of_the_reconstruction_sum_to_one(lmm, speaker, dog_states):
    dictionary = ConceptDictionary.fit(dog_states, SemiNMF(2, l1=0.0, random_state=0))
    x, y = dog_states.X[0].astype(np.float64), dog_states.X[2].astype(np.float64)
    # x is 2 u + v, and u, v are not orthogonal: <2u, x> and <v, x> are not |2u|^2 and |v|^2.
    u, v = (x + y) / 2, -y
    dictionary.estimator.components_ = np.stack([u, v])
    explanation = dictionary.explain(lmm, speaker.images[0])
    expected = np.array([2 * u @ x, v @ x]) / (x @ x)
    np.testing.assert_allclose(explanation.shares_of_reconstruction, expected, atol=1e-4)
    assert explanation.shares_of_reconstruction.sum() == pytest.approx(1)
    assert explanation.share_of_mean is None
    for active in explanation.concepts:
        assert active.share_of_reconstruction == explanation.shares_of_reconstruction[active.concept.index]
    assert "100% of the reconstruction" in str(explanation)


def test_a_concept_against_the_others_has_a_negative_share(lmm, speaker, dog_states):
    dictionary = ConceptDictionary.fit(dog_states, SemiNMF(2, l1=0.0, random_state=0))
    x, y = dog_states.X[0], dog_states.X[2]
    # x = (2 x - y) - (x - y), the two being orthogonal to nothing.
    dictionary.estimator.components_ = np.stack([2 * x - y, y - x])
    explanation = dictionary.explain(lmm, speaker.images[0])
    np.testing.assert_allclose(explanation.activations, [1, 1], rtol=1e-3)
    np.testing.assert_allclose(explanation.shares_of_reconstruction, [2, -1], rtol=1e-3)


def test_a_mean_has_its_own_share_and_a_center_all_of_it(lmm, speaker, dog_states):
    explanation = ConceptDictionary.fit(dog_states, PCA(2)).explain(lmm, speaker.images[0])
    assert explanation.share_of_mean > 0
    assert explanation.shares_of_reconstruction.sum() + explanation.share_of_mean == pytest.approx(1)
    assert f"the mean of all states is {explanation.share_of_mean:.0%} of the reconstruction" in str(explanation)
    centers = ConceptDictionary.fit(dog_states, KMeans(3, random_state=0)).explain(lmm, speaker.images[0])
    assert sorted(centers.shares_of_reconstruction) == pytest.approx([0, 0, 1])
    assert centers.concepts[0].share_of_reconstruction == pytest.approx(1)


@pytest.mark.parametrize("method", ["states", "gradient", "occlusion"])
def test_every_concept_has_its_heat_map(dog_dictionary, lmm, speaker, method):
    explanation = dog_dictionary.explain(lmm, speaker.images[0], heat_maps=method)
    (top,) = explanation.concepts
    k = top.concept.index
    (maps,) = heat_maps_of([Spoken(dog_dictionary, lmm, speaker.images[0], explanation.tokens)], [[k]], method)
    assert (explanation.heat_method, explanation.without_heat) == (method, None)
    expected = np.maximum(maps[k], 0) / (maps[k].max() if maps[k].max() > 0 else 1)
    np.testing.assert_allclose(top.heat, expected, atol=1e-6)
    document = json.loads(json.dumps(explanation.to_dict()))
    np.testing.assert_allclose(document["concepts"][0]["heat"], top.heat, rtol=1e-6)
    assert document["heat_method"] == method


def test_maps_are_made_unless_they_are_not_wanted(dog_dictionary, lmm, speaker):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    assert explanation.concepts[0].heat.shape == (2, 2)
    assert explanation.heat_method == "gradient"
    without = dog_dictionary.explain(lmm, speaker.images[0], heat_maps=None)
    assert without.heat_method is without.without_heat is without.concepts[0].heat is None
    with pytest.raises(ValueError, match="must be auto, None or one of states, gradient, occlusion, got 'saliency'"):
        dog_dictionary.explain(lmm, speaker.images[0], heat_maps="saliency")


@pytest.fixture
def of_visual_tokens(lmm, speaker):
    states = lmm.extract(speaker.images, None, position="visual", max_new_tokens=4)
    return ConceptDictionary.fit(states, SemiNMF(3, l1=0.01, random_state=0)), states


def test_all_visual_tokens_of_an_image_are_explained_together(of_visual_tokens, lmm, speaker):
    dictionary, states = of_visual_tokens
    explanation = dictionary.explain(lmm, speaker.images[1])
    x = states.X[4:8].astype(np.float64)
    codes = dictionary.encode(states.X[4:8])
    decoded = dictionary.decode(codes.astype(np.float64))
    np.testing.assert_allclose(explanation.activations, codes.mean(axis=0), atol=1e-5)
    assert explanation.residual == pytest.approx(np.sum((x - decoded) ** 2) / np.sum(x**2), rel=1e-3, abs=1e-8)
    assert explanation.shares_of_reconstruction.sum() == pytest.approx(1)
    for active in explanation.concepts:
        own = codes[:, active.concept.index]
        np.testing.assert_allclose(active.heat, (own / own.max()).reshape(2, 2), atol=1e-5)
    assert (explanation.word, explanation.span) == (None, (0, 0))
    assert str(explanation).startswith("two red dog\n")
    assert "<mark>" not in explanation._repr_html_()


def test_of_visual_tokens_there_is_no_other_map(of_visual_tokens, lmm, speaker):
    dictionary, _ = of_visual_tokens
    with pytest.raises(ValueError, match="a concept is known exactly: take the method 'states' instead of 'gradient'"):
        dictionary.explain(lmm, speaker.images[1], heat_maps="gradient")


def test_an_image_of_a_dictionary_without_a_word_is_explained(lmm, speaker):
    states = lmm.extract(speaker.images, None, position="visual-mean", max_new_tokens=4)
    dictionary = ConceptDictionary.fit(states, SemiNMF(3, l1=0.01, random_state=0))
    explanation = dictionary.explain(lmm, speaker.images[1], heat_maps="occlusion")
    np.testing.assert_allclose(explanation.activations, dictionary.encode(states)[1], atol=1e-5)
    assert explanation.concepts[0].heat.max() == 1


def test_of_several_words_the_first_is_explained(lmm, speaker):
    states = lmm.extract(speaker.images, ["dog", "blue", "cat"])
    dictionary = ConceptDictionary.fit(states, SemiNMF(3, l1=0.01, random_state=0)).ground(lmm, images=speaker.images)
    explained = [dictionary.explain(lmm, speaker.images[i]) for i in (0, 2, 6)]
    assert [(e.word, e.caption[slice(*e.span)], e.position) for e in explained] == [
        ("dog", "dog", 2), ("blue", "blue", 1), ("cat", "cat", explained[2].position)
    ]  # fmt: skip
    for explanation, word, row in zip(explained, ("dog", "blue", "cat"), (0, 0, 0), strict=True):
        codes = dictionary.encode(states[word])[row]
        np.testing.assert_allclose(explanation.activations, codes, atol=1e-4)
    other = dictionary.explain(lmm, speaker.images[2], word="dog")
    assert (other.word, other.caption[slice(*other.span)]) == ("dog", "dog")
    assert other.position > explained[1].position
    with pytest.raises(ValueError, match=r"not of the word 'horse', but of \['dog', 'blue', 'cat'\]"):
        dictionary.explain(lmm, speaker.images[2], word="horse")
