"""Whether concepts are found for what is known to vary."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from coxlmm import SemiNMF, States, Whitened
from coxlmm.evaluation import recovery
from coxlmm.evaluation.recovery import areas


def world(n, seed, hidden=0.0):
    """States with a direction for each of three colours, one for each of two loud shapes, and what each row has."""
    rng = np.random.default_rng(seed)
    colour, shape, nothing = rng.integers(3, size=n), rng.integers(2, size=n), rng.integers(2, size=n)
    X = 0.1 * rng.standard_normal((n, 24))
    X[np.arange(n), colour] += 1 - hidden
    X[np.arange(n), 3 + shape] += 8
    states = States(X, [f"{seed}-{i}" for i in range(n)], ["a dog"] * n, np.zeros(n), {"layer": 1, "word": "dog"})
    named = np.array(["red", "blue", "green"])[colour]
    return states, {"colour": named, "shape": shape, "nothing": nothing}


@pytest.fixture(scope="module")
def found():
    (states, factors), (held_out, labels) = world(400, 0), world(300, 1)
    return recovery(SemiNMF(5, l1=0.05), states, factors, held_out, labels, n_seeds=2)


def test_what_states_represent_is_found_by_probe_and_by_concepts(found):
    for value in [*found.factors["colour"], *found.factors["shape"]]:
        assert value.is_represented
        assert value.random_auc.mean <= value.probe_auc
    assert found.mean_auc("shape").mean > 0.99
    assert {v.value for v in found.factors["colour"]} == {"red", "blue", "green"}
    assert found.factors["colour"][0].n_train == (world(400, 0)[1]["colour"] == "blue").sum()


def test_what_states_do_not_represent_is_found_by_nothing(found):
    for value in found.factors["nothing"]:
        assert not value.is_represented
        assert abs(value.probe_auc - 0.5) < 0.12
        assert abs(value.concept_auc.mean - 0.5) < 0.12
    assert np.isnan(found.mean_auc("nothing").mean)


def test_faint_values_that_a_plain_dictionary_misses_are_found_when_it_is_whitened():
    (states, factors), (held_out, labels) = world(600, 0, hidden=0.4), world(400, 1, hidden=0.4)
    plain = recovery(SemiNMF(4, l1=0.8), states, factors, held_out, labels)
    whitened = Whitened(SemiNMF(4, l1=0.03), n_directions=3, power=1.0)
    whitened = recovery(whitened, states, factors, held_out, labels)
    assert whitened.mean_auc("colour").mean > plain.mean_auc("colour").mean + 0.1


def test_labels_that_are_shuffled_are_not_recovered():
    (states, factors), (held_out, labels) = world(400, 0), world(300, 1)
    rng = np.random.default_rng(0)
    mixed, mixed_too = ({name: rng.permutation(v) for name, v in given.items()} for given in (factors, labels))
    found = recovery(SemiNMF(5, l1=0.05), states, mixed, held_out, mixed_too, n_seeds=1)
    assert all(abs(v.concept_auc.mean - 0.5) < 0.15 for values in found.factors.values() for v in values)


def test_areas_are_those_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    scores, has = rng.integers(4, size=(80, 5)).astype(float), rng.random(80) < 0.3
    expected = [roc_auc_score(has, scores[:, k]) for k in range(5)]
    np.testing.assert_allclose(areas(scores, has), expected)


def test_the_concept_is_chosen_where_it_was_fitted_and_judged_where_not():
    # The first column is right in the fit and wrong outside of it, the second the other way round.
    from coxlmm.evaluation.recovery import _best

    has = np.array([True] * 5 + [False] * 5)
    right, wrong = has.astype(float), (~has).astype(float)
    assert _best(np.stack([right, wrong], 1), has, np.stack([wrong, right], 1), has) == 0.0


def test_json_and_text(found):
    document = json.loads(json.dumps(found.to_dict()))
    colour = document["colour"]
    assert {"concept_auc", "codes_auc", "probe_auc", "random_auc", "n_represented", "values"} < set(colour)
    assert colour["spread"]["concept_auc"]["n_seeds"] == 2
    each = [value["spread"]["concept_auc"]["values"] for value in colour["values"].values()]
    np.testing.assert_allclose(colour["spread"]["concept_auc"]["values"], np.mean(each, axis=0))
    assert colour["concept_auc"] == pytest.approx(np.mean(each))
    assert document["nothing"]["represented"] is None
    assert "red* " in str(found)


def test_a_value_that_is_spread_over_concepts_is_told_by_all_of_them():
    """Whether the first or the second of two signs is there has no direction of its own beside the signs'."""
    rng = np.random.default_rng(0)

    def made(n):
        sign, side = rng.integers(6, size=n), rng.integers(2, size=n)
        X = 0.05 * rng.standard_normal((n, 24))
        X[np.arange(n), 2 * sign + side] += 1
        states = States(X, [str(i) for i in range(n)], ["a dog"] * n, np.zeros(n), {"word": "dog"})
        return states, {"side": side}

    (states, factors), (held_out, labels) = made(600), made(300)
    found = recovery(SemiNMF(12, l1=0.1), states, factors, held_out, labels, n_seeds=1).factors["side"]
    for value in found:
        assert value.concept_auc.mean < 0.75
        assert value.codes_auc.mean > 0.95


def test_values_that_hardly_occur_are_left_out():
    (states, factors), (held_out, labels) = world(200, 0), world(200, 1)
    factors["colour"][:9], labels["colour"][:50] = "rare", "rare"
    found = recovery(SemiNMF(5, l1=0.05), states, factors, held_out, labels, n_seeds=1)
    assert "rare" not in [v.value for v in found.factors["colour"]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f, g: f.pop("shape"), "factors are .*colour.*but those of the held-out states"),
        (lambda f, g: f.update(shape=[1]), "'shape' has 1 entries for 100 states"),
        (lambda f, g: g.update(shape=[1]), "'shape' has 1 entries for 80 held-out states"),
        (lambda f, g: [(d.clear(), d.update(x=range(n))) for d, n in ((f, 100), (g, 80))], "no value of x is had.*10"),
    ],
)
def test_factors_that_do_not_fit_the_states(change, match):
    (states, factors), (held_out, labels) = world(100, 0), world(80, 1)
    change(factors, labels)
    with pytest.raises(ValueError, match=match):
        recovery(SemiNMF(3), states, factors, held_out, labels)
