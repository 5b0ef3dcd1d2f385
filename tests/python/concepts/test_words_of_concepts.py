"""Concepts -> words: against a plain computation, and which tokens are words."""

import numpy as np
import pytest
import torch
from concepts.lens_models import COMPONENT, scoring
from tiny_models import WORDS, byte_level_tokenizer, tiny_llava, unigram_tokenizer, wordpiece_tokenizer

from coxlmm import LMM
from coxlmm.grounding import WordFilter, ground_words


def words_of(lmm, n_words=3, **options):
    (found,) = ground_words(COMPONENT, lmm, n_words, WordFilter(**options))
    return [(text, round(score, 3)) for text, score in found]


def test_the_final_norm_is_applied_once_and_then_the_output_embedding():
    lmm = LMM(*tiny_llava(seed=3))
    components = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    norm = lmm.model.model.language_model.norm
    weight, epsilon = norm.weight.detach().double().numpy(), norm.variance_epsilon
    unembedding = lmm.model.lm_head.weight.detach().double().numpy()
    words = [word for word in WORDS if len(word) > 1]  # "a" is too short
    ids = [lmm.tokenizer.convert_tokens_to_ids(f"Ġ{word}") for word in words]
    for component in components:
        normalized = component / np.sqrt(np.mean(component.astype(np.float64) ** 2) + epsilon) * weight
        scores = unembedding[ids] @ normalized
        order = np.argsort(-scores)[: np.sum(scores > 0)]  # all other tokens of this model score 0
        (found,) = ground_words(component[None], lmm, len(order))
        assert [word.text for word in found] == [words[i] for i in order]
        np.testing.assert_allclose([word.score for word in found], scores[order], rtol=1e-4)
    together = ground_words(components, lmm, 2)
    assert [[w.text for w in ground_words(c[None], lmm, 2)[0]] for c in components] == [
        [w.text for w in row] for row in together
    ]


def test_a_longer_vector_has_the_same_words():
    lmm = LMM(*tiny_llava())
    components = np.random.default_rng(1).standard_normal((4, 32))
    one, other = (ground_words(scale * components, lmm, 5) for scale in (1, 100))
    for a, b in zip(one, other, strict=True):
        assert [w.text for w in a] == [w.text for w in b]
        np.testing.assert_allclose([w.score for w in a], [w.score for w in b], rtol=1e-4)


def test_case_and_space_make_no_new_word_and_the_best_spelling_stays():
    tokenizer = byte_level_tokenizer(["dog", "Dog", "cat", "the"])
    lmm = scoring(tokenizer, {"Ġdog": 3, "ĠDog": 5, "Ġcat": 4, "Ġthe": 2})
    assert words_of(lmm) == [("Dog", 5), ("cat", 4), ("the", 2)]


def test_the_rest_of_a_word_is_no_word_unless_asked_for():
    tokenizer = byte_level_tokenizer(["pup", "pies", "dog"])
    lmm = scoring(tokenizer, {"pies": 9, "Ġpup": 3, "Ġdog": 2})
    assert words_of(lmm, 2) == [("pup", 3), ("dog", 2)]
    assert words_of(lmm, 2, whole_words=False) == [("pies", 9), ("pup", 3)]


def test_what_has_no_letters_or_too_few_is_no_word():
    tokenizer = byte_level_tokenizer(["dog", "x", "42", "a1", "--", "été"])
    scores = {"</s>": 12, "<image>": 11, "Ġ--": 9, "Ġ42": 8, "Ġa1": 7, "Ġx": 6, "ĠÃ©tÃ©": 4, "Ġdog": 3}
    lmm = scoring(tokenizer, scores)
    assert words_of(lmm, 2) == [("été", 4), ("dog", 3)]
    assert words_of(lmm, 3, min_length=1) == [("x", 6), ("été", 4), ("dog", 3)]


def test_stop_words_are_left_out():
    lmm = scoring(byte_level_tokenizer(["dog", "The", "cat"]), {"ĠThe": 5, "Ġdog": 4, "Ġcat": 3})
    assert words_of(lmm, 2) == [("The", 5), ("dog", 4)]
    assert words_of(lmm, 2, stop_words="english") == [("dog", 4), ("cat", 3)]
    assert words_of(lmm, 2, stop_words=["DOG"]) == [("The", 5), ("cat", 3)]


def test_sentencepiece_and_scripts_without_spaces():
    lmm = scoring(unigram_tokenizer(["▁dog", "ing", "犬", "▁на"]), {"ing": 9, "犬": 5, "▁dog": 4, "▁на": 3})
    assert words_of(lmm) == [("犬", 5), ("dog", 4), ("на", 3)]


def test_wordpiece_marks_the_rest_of_a_word():
    lmm = scoring(wordpiece_tokenizer(["dog", "##ing", "cat"]), {"##ing": 9, "dog": 5, "cat": 4})
    assert words_of(lmm, 2) == [("dog", 5), ("cat", 4)]


def test_the_search_goes_on_until_there_are_enough_words():
    # 250 tokens that are no words come first; then the whole vocabulary has fewer words than asked for.
    tokenizer = byte_level_tokenizer(["do", "go"])
    letters = [t for t in tokenizer.get_vocab() if len(t) == 1]
    lmm = scoring(tokenizer, dict.fromkeys(letters, 9) | {"Ġdo": 2, "Ġgo": 1})
    assert len(letters) > 250
    assert words_of(lmm, 1) == [("do", 2)]
    assert words_of(lmm, 5) == [("do", 2), ("go", 1)]


def test_rows_that_pad_the_output_embedding_are_no_words():
    tokenizer = byte_level_tokenizer(["dog"])
    lmm = LMM(*tiny_llava(tokenizer=tokenizer, vocab_size=len(tokenizer) + 8))
    with torch.no_grad():
        lmm.model.get_output_embeddings().weight[len(tokenizer) :] = torch.from_numpy(lmm.normalize(COMPONENT)[0])
    assert len(lmm.unembedding) == len(tokenizer) + 8
    (found,) = ground_words(COMPONENT, lmm, len(tokenizer))
    assert {text for text, _ in found} == {"dog", "do"}


def test_misuse_is_named():
    lmm = LMM(*tiny_llava())
    with pytest.raises(ValueError, match="n_words must be at least 1, got 0"):
        ground_words(COMPONENT, lmm, 0)
    with pytest.raises(ValueError, match="32"):
        ground_words(np.ones((2, 31)), lmm, 3)
    with pytest.raises(ValueError, match="the string 'klingon'"):
        WordFilter(stop_words="klingon")
    with pytest.raises(ValueError, match="min_length must be at least 1, got 0"):
        WordFilter(min_length=0)
