"""BERTScore is that of the package bert-score, for a BERT on this machine."""

import sys

import pytest
from bert_score import score

from coxlmm.demo.evaluate import installed_bert
from coxlmm.evaluation import BertModel

CAPTION = "a red dog on the grass"
TEXTS = ["dog, red, grass", CAPTION, "boat", "dog, red, grass"]
REFERENCES = [[CAPTION], [CAPTION], [CAPTION], ["a cat", CAPTION]]


def test_it_is_the_packages_own(bert):
    found = bert.score(TEXTS, REFERENCES)
    own = score(TEXTS, REFERENCES, model_type=installed_bert(), num_layers=6)
    for ours, theirs in zip(found, own, strict=True):
        assert ours == pytest.approx(theirs.numpy(), abs=1e-5)
    assert bert.n_layers == 6
    assert bert.name == "model"


def test_what_is_identical_scores_1_and_what_has_less_in_common_less(bert):
    precision, recall, f1 = bert.score(TEXTS[:3], REFERENCES[:3])
    assert (precision[1], recall[1], f1[1]) == pytest.approx((1, 1, 1), abs=1e-5)
    assert f1[2] < f1[0] < 1


def test_a_pair_that_is_known_is_not_computed_again(bert, monkeypatch):
    before = bert.score(TEXTS, REFERENCES).f1
    monkeypatch.setattr(bert, "_scorer", None)
    assert (bert.score(TEXTS[::-1], REFERENCES[::-1]).f1 == before[::-1]).all()


def test_the_layer_is_chosen(bert):
    assert BertModel(installed_bert(), 2).score(["boat"], [["a dog"]]).f1 != bert.score(["boat"], [["a dog"]]).f1


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bert_score", None)
    with pytest.raises(ImportError, match=r'pip install "coxlmm\[evaluation\]"'):
        BertModel(installed_bert())
