"""Who is paired with whom does not depend on order, scale or, where it is arbitrary, sign."""

from itertools import permutations

import numpy as np
import pytest

from coxlmm import PCA, ConceptDictionary, SemiNMF
from coxlmm.matching import match_concepts

RNG = np.random.default_rng(0)


@pytest.fixture
def vectors():
    return RNG.standard_normal((5, 12))


def test_a_permutation_is_found_whatever_the_lengths(vectors):
    order = np.array([3, 0, 4, 1, 2])
    found = match_concepts(vectors, 7.5 * vectors[order])
    assert [order[j] for _, j in found.pairs] == list(range(5))
    np.testing.assert_array_equal(found.pairs[:, 0], np.arange(5))
    np.testing.assert_allclose(found.similarities, 1)
    assert found.mean == pytest.approx(1)
    assert found.measure == "cosine"
    assert found.unmatched == ([], [])


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_the_sum_of_similarities_is_the_largest_of_all_assignments(shape):
    a, b = RNG.standard_normal((shape[0], 6)), RNG.standard_normal((shape[1], 6))
    found = match_concepts(a, b)
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b)]
    cosines = unit[0] @ unit[1].T
    n, m = shape
    if n <= m:
        best = max(sum(cosines[i, j] for i, j in enumerate(p)) for p in permutations(range(m), n))
    else:
        best = max(sum(cosines[i, j] for j, i in enumerate(p)) for p in permutations(range(n), m))
    assert found.similarities.sum() == pytest.approx(best)
    for (i, j), value in zip(found.pairs, found.similarities, strict=True):
        assert value == pytest.approx(cosines[i, j])
    assert sorted([*found.pairs[:, 0], *found.unmatched[0]]) == list(range(n))
    assert sorted([*found.pairs[:, 1], *found.unmatched[1]]) == list(range(m))


def test_the_pairs_do_not_depend_on_the_order_of_either(vectors):
    other = RNG.standard_normal((6, 12))
    p, q = RNG.permutation(5), RNG.permutation(6)
    pairs = {(int(p[i]), int(q[j])) for i, j in match_concepts(vectors[p], other[q]).pairs}
    assert pairs == {(int(i), int(j)) for i, j in match_concepts(vectors, other).pairs}


def test_signs_count_unless_told(vectors):
    assert match_concepts(vectors[:1], -vectors[:1]).mean == pytest.approx(-1)
    assert match_concepts(vectors[:1], -vectors[:1], absolute=True).mean == pytest.approx(1)


def test_signs_of_a_signed_decomposition_do_not_count(states):
    first, second = (ConceptDictionary.fit(states, PCA(3)) for _ in range(2))
    second.estimator.components_ = -second.estimator.components_[::-1]
    found = match_concepts(first, second)
    assert found.pairs.tolist() == [[0, 2], [1, 1], [2, 0]]
    np.testing.assert_allclose(found.similarities, 1, rtol=1e-6)


def test_seeds_of_a_planted_dictionary_agree_and_strangers_do_not(states):
    first, second = (ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=seed)) for seed in (0, 1))
    assert first.match(second).mean > 0.99
    assert match_concepts(first.components, RNG.standard_normal((4, 12))).mean < 0.8


def test_other_layers_are_matched_by_what_they_do_to_shared_samples(states):
    first = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    rows = RNG.permutation(len(states))[:40]
    # Another space: as many features by chance, turned at random.
    there = states.subset(rows)
    there.X = there.X @ np.linalg.qr(RNG.standard_normal((12, 12)))[0].astype(np.float32)
    there.manifest["layer"] = 1
    second = ConceptDictionary.fit(there, SemiNMF(4, l1=0.5, random_state=0))
    found = match_concepts(first, second)
    assert (found.measure, found.n_samples) == ("correlation", 40)
    assert found.mean > 0.95
    assert match_concepts(first, second, codes=False).mean < 0.9
    for (i, j), value in zip(found.pairs, found.similarities, strict=True):
        assert value == pytest.approx(np.corrcoef(first.codes[rows, i], second.codes[:, j])[0, 1], abs=1e-5)


def test_states_of_one_sample_are_matched_in_their_order(states):
    states.sample_ids = [f"{i // 3}.png" for i in range(60)]
    first = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    found = match_concepts(first, first, codes=True)
    assert found.n_samples == 60
    np.testing.assert_allclose(found.similarities, 1)


def test_states_of_one_word_are_found_among_those_of_several(states):
    alone = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    shared = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    shared.sample_ids = shared.sample_ids * 2
    shared.captions = shared.captions * 2
    shared.sample_words = ["cat"] * 60 + ["dog"] * 60
    shared.codes = np.concatenate([RNG.random((60, 4)), alone.codes])
    for pair in ((alone, shared), (shared, alone)):
        found = match_concepts(*pair, codes=True)
        assert found.n_samples == 60
        np.testing.assert_allclose(found.similarities, 1)


def test_a_concept_that_is_nothing_resembles_nothing(vectors):
    vectors[2] = 0
    found = match_concepts(vectors, vectors)
    np.testing.assert_allclose(found.similarities, [1, 1, 0, 1, 1])
    constant = np.stack([np.arange(6.0), np.ones(6)], axis=1)
    np.testing.assert_allclose(match_concepts(constant, constant, codes=True).similarities, [1, 0])


@pytest.mark.parametrize(
    ("a", "b", "codes", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), None, "3 and of 4 features are of different spaces: .*codes=True"),
        (np.ones((2, 3)), np.ones(3), None, r"must be a matrix .* got an array of shape \(3,\)"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), None, "finite numbers"),
        (np.ones((4, 3)), np.ones((5, 3)), True, "activations of 4 and of 5 samples"),
        (np.ones((2, 3)), np.ones((2, 3)), True, "share 2 samples"),
    ],
)
def test_what_cannot_be_matched_is_refused(a, b, codes, message):
    with pytest.raises(ValueError, match=message):
        match_concepts(a, b, codes=codes)


def test_dictionaries_of_other_samples_are_refused(states):
    first = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    second = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    second.sample_ids = [f"other/{i}" for i in range(60)]
    with pytest.raises(ValueError, match="share 0 samples"):
        match_concepts(first, second, codes=True)
