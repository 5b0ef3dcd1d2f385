"""A fitted dictionary: what its figures mean, and what it encodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from concepts.world import ANIMALS
from sklearn import decomposition

from coxlmm import ConceptDictionary, RowBlocks, SemiNMF, States
from coxlmm.states import StatesGroup


def squared_error(X, codes, components):
    return np.sum((X.astype(np.float64) - codes.astype(np.float64) @ components) ** 2)


def test_the_error_if_left_out_is_what_leaving_out_costs(states, dictionary):
    X, codes, components = states.X, dictionary.codes, dictionary.components.astype(np.float64)
    total = np.sum(X.astype(np.float64) ** 2)
    error = squared_error(X, codes, components)
    assert dictionary.relative_error == pytest.approx(error / total, rel=1e-4)
    for concept in dictionary.concepts:
        without = codes.copy()
        without[:, concept.index] = 0
        increase = (squared_error(X, without, components) - error) / total
        assert concept.share_of_error == pytest.approx(increase, rel=1e-4)
        assert concept.share_of_error > 0


def test_the_error_if_left_out_does_not_rely_on_an_optimal_fit():
    rng = np.random.default_rng(1)

    class Given:
        components_ = 3 * rng.standard_normal((2, 5))

        def fit_transform(self, X):
            return rng.random((len(X), 2))

    X = rng.standard_normal((7, 5)).astype(np.float32)
    given = ConceptDictionary.fit(States(X, ["s"] * 7, ["dog"] * 7, np.ones(7)), Given())
    error = squared_error(X, given.codes, given.components)
    without = [squared_error(X, given.codes * keep, given.components) for keep in ([0, 1], [1, 0])]
    np.testing.assert_allclose(
        given.error_shares, (np.array(without) - error) / np.sum(X.astype(float) ** 2), rtol=1e-4
    )


def test_decompositions_whose_codes_are_no_coefficients_are_refused(states):
    with pytest.raises(ValueError, match=r"inverse_transform of PCA is not codes @ components_, plus mean_"):
        ConceptDictionary.fit(states, decomposition.PCA(2, whiten=True))
    with pytest.raises(ValueError, match=r"inverse_transform of FastICA is not codes @ components_"):
        ConceptDictionary.fit(states, decomposition.FastICA(2, random_state=0))


@pytest.mark.parametrize("peer", [decomposition.PCA(2), decomposition.TruncatedSVD(2, random_state=0)], ids=repr)
def test_estimators_of_scikit_learn_are_measured_too(states, peer):
    dictionary = ConceptDictionary.fit(states, peer)
    missed = states.X - peer.inverse_transform(peer.transform(states.X))
    assert dictionary.relative_error == pytest.approx(np.sum(missed**2.0) / np.sum(states.X**2.0), rel=1e-4)


def test_blocks_of_rows_add_up(states, monkeypatch):
    whole = ConceptDictionary.fit(states, SemiNMF(4, random_state=0))
    monkeypatch.setattr("coxlmm.reconstruction.ROWS_AT_A_TIME", 7)
    blocks = ConceptDictionary.fit(states, SemiNMF(4, random_state=0))
    np.testing.assert_allclose(blocks.error_shares, whole.error_shares, rtol=1e-6)
    assert blocks.relative_error == pytest.approx(whole.relative_error, rel=1e-6)


def test_shares_of_activation_and_counts(dictionary):
    codes = dictionary.codes
    assert sum(c.share_of_activation for c in dictionary.concepts) == pytest.approx(1)
    for k, concept in enumerate(dictionary.concepts):
        assert concept.index == k
        assert concept.share_of_activation == pytest.approx(codes[:, k].sum() / codes.sum())
        assert concept.n_active == (codes[:, k] > 0).sum()
        assert concept.words[0].text == f"{ANIMALS[k]}0"
        assert concept.images[0].activation == pytest.approx(codes[:, k].max())
    assert dictionary.mean_active == pytest.approx((codes > 0).sum() / len(codes))


def test_a_fit_that_activates_nothing_is_refused(states):
    norm = np.linalg.norm(states.X, axis=1).mean()
    with pytest.raises(ValueError, match=rf"l1=1000000.*norm {norm:.4g}; lower its l1"):
        ConceptDictionary.fit(states, SemiNMF(3, l1=1e6, random_state=0))


def test_the_samples_of_the_fit_encode_to_their_codes(states, dictionary):
    np.testing.assert_allclose(dictionary.encode(states), dictionary.codes, atol=1e-4)
    np.testing.assert_array_equal(dictionary.encode(states.X[3:5]), dictionary.encode(states)[3:5])


def test_states_are_encoded_in_whatever_form_they_come(states, dictionary):
    expected = dictionary.encode(states)
    for form in (torch.tensor, np.ndarray.tolist, lambda X: RowBlocks([X[:9], X[9:]])):
        np.testing.assert_allclose(dictionary.encode(form(states.X)), expected, atol=1e-4)
    assert dictionary.encode(torch.tensor(states.X).bfloat16()).dtype == np.float32
    with pytest.raises(ValueError, match=r"codes must be n_samples x 4, got an array of shape \(60, 3\)"):
        dictionary.decode(expected[:, :3])


def test_states_of_another_place_are_refused(states, dictionary):
    elsewhere = States(states.X, states.sample_ids, states.captions, states.positions, {"layer": 0})
    with pytest.raises(ValueError, match="of layer 0, but the dictionary is of layer 2"):
        dictionary.encode(elsewhere)
    with pytest.raises(ValueError, match=r"n_samples x 12.*\(60, 11\).*owner/model"):
        dictionary.encode(states.X[:, :11])


def test_the_concepts_of_a_model_that_is_known(dog_dictionary, speaker):
    """Three states occur, each twice: three concepts, each of them one state, found with its two images."""
    (red, blue, hot) = (
        speaker.embedding(speaker.tokenizer.convert_tokens_to_ids(f"Ġ{word}")) for word in ("red", "blue", "hot")
    )
    directions = np.stack([x / np.linalg.norm(x) for x in (red, blue, hot)])
    cosines = dog_dictionary.components @ directions.T
    match = cosines.argmax(axis=0)
    assert sorted(match) == [0, 1, 2]
    np.testing.assert_allclose(cosines[match, range(3)], 1, atol=1e-4)
    for concept, captions in zip(match, (("a red dog", "two red dog"), ("one blue dog", "my blue dog")), strict=False):
        hits = dog_dictionary.concepts[concept].images
        assert {hit.caption for hit in hits} == set(captions)
        assert all(hit.thumbnail for hit in hits)
    # Each of these states makes the model say "dog", and nothing else.
    assert [words[0].text for words in dog_dictionary.words] == ["dog"] * 3


def test_words_share_one_dictionary(states):
    half = len(states) // 2
    dogs = replace(states.subset(slice(half)), manifest={**states.manifest, "word": "dog"})
    cats = replace(states.subset(slice(half, None)), manifest={**states.manifest, "word": "cat"})
    shared = ConceptDictionary.fit(StatesGroup({"dog": dogs, "cat": cats}), SemiNMF(3, random_state=0))
    assert shared.word == ["dog", "cat"]
    assert shared.sample_words == ["dog"] * half + ["cat"] * (len(states) - half)
    np.testing.assert_array_equal(shared.codes, SemiNMF(3, random_state=0).fit_transform(states.X))


def test_layers_do_not_share_one_dictionary(states):
    other = replace(states, manifest={**states.manifest, "layer": 7})
    with pytest.raises(ValueError, match="several layers"):
        ConceptDictionary.fit(StatesGroup({1: states, 7: other}), SemiNMF(3))
