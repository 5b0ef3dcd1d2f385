"""What tells the words of concepts apart: contrasts against explicit computations with ``W_U`` and the norm."""

import warnings

import numpy as np
import pytest
from concepts.lens_models import components, scoring
from tiny_models import WORDS, byte_level_tokenizer, tiny_llava

from coxlmm import LMM, PCA, ConceptDictionary, SemiNMF, States
from coxlmm.grounding import Presence, WordFilter, ground_words, raw_words

LONG = [word for word in WORDS if len(word) > 1]


@pytest.fixture(scope="module")
def random_lmm():
    return LMM(*tiny_llava(seed=3))


@pytest.fixture(scope="module")
def unembedding(random_lmm):
    lmm = random_lmm
    ids = [lmm.tokenizer.convert_tokens_to_ids(f"Ġ{word}") for word in LONG]
    return lmm.model.lm_head.weight.detach().double().numpy()[ids]


@pytest.fixture(scope="module")
def some():
    return np.random.default_rng(0).standard_normal((4, 32))


def normed(lmm, rows):
    norm = lmm.model.model.language_model.norm
    rows = np.atleast_2d(rows)
    size = np.sqrt((rows**2).mean(axis=1, keepdims=True) + norm.variance_epsilon)
    return rows / size * norm.weight.detach().double().numpy()


def scores_of(found):
    """Of the words that this model has, those that it found with their scores."""
    return [{text: score for text, score in row if text in LONG} for row in found]


def agree(found, expected):
    for words, row in zip(scores_of(found), expected, strict=True):
        assert len(words) > 5
        for word, score in words.items():
            assert score == pytest.approx(row[LONG.index(word)], rel=1e-3, abs=1e-3)
        kept = [LONG.index(word) for word in words]
        assert min(row[kept]) >= max(np.delete(row, kept), default=-np.inf) - 1e-3


def test_the_mean_concept_is_subtracted(random_lmm, unembedding, some):
    shares = np.array([0.5, 0.25, 0.25, 0.0])
    logits = normed(random_lmm, some) @ unembedding.T
    presence = Presence(np.ones(4), shares)
    agree(ground_words(some, random_lmm, 10, contrast="mean", presence=presence), logits - shares @ logits)
    agree(ground_words(some, random_lmm, 10, contrast="mean"), logits - logits.mean(axis=0))


def test_concepts_added_to_a_mean_state_score_what_they_change(random_lmm, unembedding, some):
    mean, typical = 3 * np.random.default_rng(1).standard_normal(32), np.array([0.5, 1.0, 2.0, 4.0])
    change = (normed(random_lmm, mean + typical[:, None] * some) - normed(random_lmm, mean)) @ unembedding.T
    presence = Presence(typical, np.full(4, 0.25), mean)
    agree(ground_words(some, random_lmm, 10, contrast="mean", presence=presence), change)


def test_equal_concepts_have_no_contrast(random_lmm, some):
    same = np.repeat(some[:1], 3, axis=0)
    for row in ground_words(same, random_lmm, 10, contrast="mean"):
        assert [score for _, score in row] == pytest.approx([0] * 10, abs=1e-4)


def test_what_all_concepts_share_does_not_matter_without_a_norm(random_lmm, some):
    common = 10 * np.random.default_rng(2).standard_normal(32)
    alone, together = (
        ground_words(vectors, random_lmm, 8, contrast="mean", normalized=True) for vectors in (some, some + common)
    )
    for a, b in zip(alone, together, strict=True):
        assert [word.text for word in a] == [word.text for word in b]
        assert [word.score for word in a] == pytest.approx([word.score for word in b], abs=1e-3)
    plain = [ground_words(vectors, random_lmm, 8, normalized=True) for vectors in (some, some + common)]
    assert [[w.text for w in row] for row in plain[0]] != [[w.text for w in row] for row in plain[1]]


def telling(own, shared, score=9):
    """A model whose concepts decode to words of their own, six of scores 8 to 3, and some of them to "dog"."""
    words = [["red", "hue", "ink"], ["cat", "paw", "fur"], ["sky", "sun", "air"], ["sea", "bay", "cod"]][:own]
    words = [each + [f"{each[0]}{letter}" for letter in "xyz"] for each in words]
    tokenizer = byte_level_tokenizer(["dog", *(word for each in words for word in each)])
    scores = [{f"Ġ{word}": 8 - i for i, word in enumerate(each)} for each in words]
    return scoring(tokenizer, *({"Ġdog": score if k < shared else -9} | each for k, each in enumerate(scores)))


@pytest.mark.parametrize(
    ("n_concepts", "n_shared", "expected"),
    [
        (4, 3, ["red", "cat", "sky", "sea"]),
        (3, 3, ["red", "cat", "sky"]),
        # Half of them is not most; and of two concepts none is told from the rest.
        (4, 2, ["dog", "dog", "sky", "sea"]),
        (2, 2, ["dog", "dog"]),
    ],
)
def test_words_that_most_concepts_begin_with_are_left_out(n_concepts, n_shared, expected):
    lmm, few = telling(n_concepts, n_shared), WordFilter(min_length=3)
    for n_words in (1, 4):  # what is shared does not depend on how many are asked for
        found = ground_words(components(n_concepts), lmm, n_words, few, contrast="shared")
        assert [row[0].text for row in found] == expected
    plain = ground_words(components(n_concepts), lmm, 1, few, contrast="none")
    assert [row[0].text for row in plain[:n_shared]] == ["dog"] * n_shared


def test_words_that_concepts_share_further_down_stay():
    found = ground_words(components(4), telling(4, 4, 2.5), 7, WordFilter(min_length=3), contrast="shared")
    assert [row[6].text for row in found] == ["dog"] * 4
    found = ground_words(components(4), telling(4, 4, 4.5), 1, WordFilter(min_length=3), contrast="shared")
    assert [row[0].text for row in found] == ["red", "cat", "sky", "sea"]


def test_a_difference_from_a_mean_state_has_words_that_states_have(monkeypatch):
    monkeypatch.setattr("coxlmm.grounding.words._PLAUSIBLE", 2)
    tokenizer = byte_level_tokenizer(["dog", "red", "odd", "cat"])
    # The state is a "dog" or a "cat"; the concept is towards "odd", then "red", and not far.
    lmm = scoring(tokenizer, {"Ġodd": 9, "Ġred": 8}, {"Ġdog": 20, "Ġred": 12, "Ġcat": 10})
    (concept,), mean = components(1), 10 * components(2)[1]
    presence = Presence(np.ones(1), np.ones(1), mean)

    def words(contrast, presence):
        found = ground_words(concept[None], lmm, 2, WordFilter(min_length=3), contrast=contrast, presence=presence)
        return [word.text for word in found[0]]

    assert words("shared", None) == ["odd", "red"]
    assert words("none", presence) == ["odd", "red"]
    assert words("shared", presence) == ["red", "dog"]


def test_typical_activations_are_those_of_samples_that_have_the_concept():
    codes = np.zeros((100, 3))
    codes[:11, 0] = np.arange(11)  # 0 is no activation
    codes[:, 1] = 5
    presence = Presence.of(codes)
    assert presence.activations == pytest.approx([np.quantile(np.arange(1, 11), 0.9), 5, 0])
    assert presence.shares == pytest.approx([55 / 555, 500 / 555, 0])


def test_raw_words_are_tokens_as_they_come():
    tokenizer = byte_level_tokenizer(["dog", "狗"])
    byte = tokenizer.tokenize("狗")[0][:1]
    lmm = scoring(tokenizer, {"</s>": 9, "ing"[0]: 8, byte: 7, "Ġdog": 6, "dog": 5})
    (found,) = raw_words(components(1), lmm, 5)
    assert [word.text for word in found] == ["</s>", "i", byte, " dog", "dog"]
    assert [word.score for word in found] == pytest.approx([9, 8, 7, 6, 5], abs=1e-3)


def test_the_dictionary_keeps_raw_words_and_what_was_chosen(lmm, speaker, dog_states):
    dictionary = ConceptDictionary.fit(dog_states, SemiNMF(3, l1=0.01, random_state=0))
    dictionary.ground(lmm, images=speaker.images, n_words=3, word_filter=WordFilter(stop_words=["hot"]))
    chosen = dictionary.manifest["grounding"]
    assert (chosen["contrast"], chosen["n_words"], chosen["word_filter"]["stop_words"]) == ("shared", 3, ["hot"])
    assert chosen["rank_of_word"] == 1
    assert "grounding" not in dog_states.manifest
    # All three concepts of this model decode to "dog" first: it is in the raw words alone.
    assert [words[0].text for words in dictionary.raw_words] == [" dog"] * 3
    assert "dog" not in {word.text for words in dictionary.words for word in words}
    dictionary.ground(lmm, images=speaker.images, contrast="none", word_filter="published")
    assert dictionary.manifest["grounding"]["word_filter"] == {"name": "published", "stop_words": "english"}


def test_a_mean_that_an_estimator_adds_is_the_state_that_concepts_differ_from(random_lmm, some):
    rng = np.random.default_rng(4)
    X = 5 * rng.standard_normal(32) + rng.standard_normal((40, 32))
    estimator = PCA(2, random_state=0)
    codes = estimator.fit_transform(X)
    expected = ground_words(
        estimator.components_, random_lmm, 5, contrast="mean", presence=Presence.of(codes, estimator.mean_)
    )
    states = States(
        X=X,
        sample_ids=[str(i) for i in range(40)],
        captions=["a dog"] * 40,
        positions=np.ones(40),
        manifest={"word": None, "layer": 2, "n_layers": 3, "model_id": "m"},
    )
    dictionary = ConceptDictionary.fit(states, PCA(2, random_state=0)).ground(random_lmm, n_words=5, contrast="mean")
    for a, b in zip(dictionary.words, expected, strict=True):
        assert [word.score for word in a] == pytest.approx([word.score for word in b], abs=1e-3)


def test_a_layer_that_does_not_speak_yet_is_named(lmm, speaker, dog_states, monkeypatch):
    monkeypatch.setattr("coxlmm.dictionary.READABLE_RANK", 2)  # this vocabulary is small
    dictionary = ConceptDictionary.fit(dog_states, SemiNMF(2, l1=0.0, random_state=0))
    # A word that these states do not predict.
    dictionary.manifest["word"] = "cat"
    with pytest.warns(UserWarning, match="does not decode to 'cat'"):
        dictionary.ground(lmm, images=speaker.images, n_words=2)
    assert dictionary.manifest["grounding"]["rank_of_word"] > 2
    # What attention adds to a state predicts nothing by itself.
    dictionary.manifest["stream"] = "attention"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dictionary.ground(lmm, images=speaker.images, n_words=2)
    assert "rank_of_word" not in dictionary.manifest["grounding"]


def test_misuse_is_named(random_lmm, some):
    with pytest.raises(ValueError, match="contrast must be one of shared, mean, none, got 'median'"):
        ground_words(some, random_lmm, contrast="median")
    with pytest.raises(ValueError, match="'published', got 'nltk'"):
        ground_words(some, random_lmm, word_filter="nltk")
