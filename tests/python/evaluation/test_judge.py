"""Means of scores are over the right samples, and words that fit score above chance and below captions."""

import numpy as np
import pytest

from coxlmm.evaluation.judge import Judge

CAPTIONS = ["a red dog on the grass", "a blue boat on the water"]
RIGHT = [[["dog", "red", "grass"]], [["boat", "blue", "water"]]]
WRONG = [[["seven", "music", "tax"]], [["window", "law", "paper"]]]


class ColourModel:
    """Embeds a text by the colours that it names, as red and blue."""

    def texts(self, texts):
        named = np.array([[float("red" in text), float("blue" in text)] for text in texts])
        return named / np.linalg.norm(named, axis=1, keepdims=True).clip(1)


@pytest.fixture
def judge(bert):
    red_and_blue = np.array([[1.0, 0.0], [0.0, 1.0]])
    return Judge(ColourModel(), bert, red_and_blue, [(caption,) for caption in CAPTIONS])


def test_words_are_between_chance_and_ceiling(judge):
    right, wrong, ceiling = judge.of_words(RIGHT), judge.of_words(WRONG), judge.of_references()
    for measure in ("bert_score_f1", "bert_score_precision", "bert_score_recall"):
        assert wrong[measure] < right[measure] < ceiling[measure] == pytest.approx(1)
    assert wrong["clip_score"] == 0 < right["clip_score"] == ceiling["clip_score"] == 2.5
    swapped = judge.of_words(RIGHT, images=judge.images[::-1])
    assert swapped == {"clip_score": 0, "clip_score_top_r": 0}


def test_top_r_is_the_mean_of_the_means_of_samples(judge):
    descriptions = [[["red"], ["seven"], ["law"], ["red", "blue"]], [["music"], ["blue"]]]
    half = np.sqrt(0.5)
    found = judge.of_words(descriptions)
    assert found["clip_score"] == pytest.approx(2.5 * (1 + 0) / 2)
    assert found["clip_score_top_r"] == pytest.approx(2.5 * ((1 + half) / 4 + 1 / 2) / 2)


def test_samples_without_a_description_do_not_count(judge):
    assert judge.of_words([RIGHT[0], []]) == judge.of_words([RIGHT[0]])
    assert judge.of_words([[], RIGHT[1]])["clip_score"] == 2.5
    assert judge.of_words([[], []]) == {}


def test_captions_are_compared_with_the_others_of_their_image(bert):
    captions = ["a red dog", "one dog, red", "the grass"]
    found = Judge(None, bert, None, [captions]).of_references()
    others = [captions[1:], [captions[0], captions[2]], captions[:2]]
    assert found["bert_score_f1"] == pytest.approx(bert.score(captions, others).f1.mean())
    assert found["bert_score_f1"] < 0.99
    assert set(found) == {"bert_score_f1", "bert_score_precision", "bert_score_recall"}


def test_nobody_judges_nothing():
    judge = Judge(None, None, None, None)
    assert judge.of_words(RIGHT) == judge.of_references() == {}
