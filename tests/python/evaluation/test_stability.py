"""How well other fits find concepts again."""

import numpy as np
import pytest

from coxlmm import ConceptDictionary, SemiNMF, States
from coxlmm.evaluation.stability import chance, found_again, stability


class Fitted:
    def __init__(self, components):
        self.components_ = components


def dictionary_of(components, codes=None):
    n = len(components)
    codes = np.ones((5, n)) if codes is None else codes
    names = [str(i) for i in range(len(codes))]
    return ConceptDictionary(Fitted(components), codes, names, names, {}, 0.0, np.zeros(n))


@pytest.fixture
def components():
    return np.random.default_rng(0).standard_normal((6, 30))


def test_the_same_concepts_in_any_order_and_length_are_found_again(components):
    one = dictionary_of(components)
    order = np.random.default_rng(1).permutation(6)
    other = dictionary_of(components[order] * np.arange(1, 7)[:, None])
    assert found_again(one, [one, other]) == pytest.approx(np.ones(6))
    assert stability(one, [other]) == pytest.approx(1)


def test_each_concept_has_its_own_cosine_the_mean_over_others(components):
    changed = components.copy()
    changed[2] += 2 * np.random.default_rng(2).standard_normal(30)
    one = dictionary_of(components)
    cosine = components[2] @ changed[2] / np.linalg.norm(components[2]) / np.linalg.norm(changed[2])
    expected = np.ones(6)
    expected[2] = (1 + cosine) / 2
    assert found_again(one, [one, dictionary_of(changed)]) == pytest.approx(expected)
    assert stability(one, [one, dictionary_of(changed)]) == pytest.approx(expected.mean())


def test_what_has_no_partner_or_the_opposite_is_not_found_again(components):
    one = dictionary_of(components)
    fewer = dictionary_of(components[:4])
    assert found_again(one, [fewer]) == pytest.approx([1, 1, 1, 1, 0, 0])
    assert found_again(fewer, [one]) == pytest.approx(np.ones(4))
    assert stability(dictionary_of(np.eye(1)), [dictionary_of(-np.eye(1))]) == 0


def test_the_sign_does_not_count_where_activations_have_one(components):
    signed = dictionary_of(components, np.random.default_rng(0).standard_normal((5, 6)))
    assert stability(signed, [dictionary_of(-components)]) == pytest.approx(1)


def test_concepts_that_no_sample_activates_are_nothing_to_find(components):
    codes = np.ones((5, 6))
    codes[:, 1] = 0
    one = dictionary_of(components, codes)
    other = components.copy()
    other[1] = 0
    assert found_again(one, [dictionary_of(other, codes)]) == pytest.approx([1, 0, 1, 1, 1, 1])
    assert stability(one, [dictionary_of(other, codes)]) == pytest.approx(1)


def test_it_needs_another_fit(components):
    with pytest.raises(ValueError, match="at least one other fit"):
        stability(dictionary_of(components), [])


def test_chance_is_high_where_states_have_much_in_common():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30))
    alike, apart = chance(X + 3, 5, 3), chance(X, 5, 3)
    assert len(alike) == len(apart) == 3
    assert min(alike) > 0.85
    assert 0 < max(apart) < 0.6
    assert chance(np.vstack([X[:5]] * 20), 5, 2)[0] <= 1


def test_a_dictionary_is_compared_with_fits_from_other_seeds_than_its_own():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12))
    states = States(X, [str(i) for i in range(60)], ["a dog"] * 60, np.zeros(60))
    own = ConceptDictionary.fit(states, SemiNMF(4, random_state=1))
    own.measure_stability(states, n_seeds=2)
    others = [ConceptDictionary.fit(states, SemiNMF(4, random_state=seed)) for seed in (0, 2)]
    np.testing.assert_allclose(own.stability, found_again(own, others))
    with pytest.raises(ValueError, match="not those that the dictionary was fitted to"):
        own.measure_stability(states.subset(slice(50)))
    with pytest.raises(ValueError, match="at least one other fit"):
        own.measure_stability(states, n_seeds=0)
