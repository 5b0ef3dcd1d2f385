"""Every estimator makes a dictionary: its figures mean what they say, and it is saved, shown and explained."""

import numpy as np
import pytest
from concepts.world import ANIMALS

from coxlmm import NMF, PCA, ConceptDictionary, KMeans, LargestNorm, SemiNMF
from coxlmm.grounding import Word, ground_images
from coxlmm.report import report_html

ESTIMATORS = [
    SemiNMF(4, l1=0.5, random_state=0),
    NMF(4, l1=0.5, random_state=0),
    PCA(4, random_state=0),
    KMeans(4, n_init=2, random_state=0),
    LargestNorm(4, l1=0.5),
]
every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__, indirect=True)


@pytest.fixture
def estimator(request):
    return type(request.param)(**request.param.get_params())


@pytest.fixture
def states(states, estimator):
    if isinstance(estimator, NMF):
        states.X = np.abs(states.X)
    return states


@pytest.fixture
def dictionary(states, estimator):
    """Fitted; with words that were not looked up."""
    fitted = ConceptDictionary.fit(states, estimator)
    fitted.words = [[Word(f"{animal}{k}", 9.5 - k) for k in range(5)] for animal in ANIMALS]
    fitted.images = ground_images(fitted.codes, fitted.sample_ids, fitted.captions, 6)
    return fitted


def squared_error(dictionary, X, codes):
    return np.sum((X.astype(np.float64) - dictionary.estimator.inverse_transform(codes.astype(np.float64))) ** 2)


@every
def test_errors_are_those_of_what_the_codes_stand_for(dictionary, states):
    X, codes = states.X, dictionary.codes
    total = np.sum(X.astype(np.float64) ** 2)
    error = squared_error(dictionary, X, codes)
    assert dictionary.relative_error == pytest.approx(error / total, rel=1e-4)
    assert 0 < dictionary.relative_error < 1
    np.testing.assert_allclose(dictionary.decode(codes), dictionary.estimator.inverse_transform(codes), rtol=1e-6)
    for concept in dictionary.concepts:
        without = codes.copy()
        without[:, concept.index] = 0
        increase = (squared_error(dictionary, X, without) - error) / total
        assert concept.share_of_error == pytest.approx(increase, rel=1e-3)
        assert concept.share_of_error > 0


@every
def test_shares_and_counts(dictionary):
    codes = dictionary.codes
    assert sum(c.share_of_activation for c in dictionary.concepts) == pytest.approx(1)
    for k, concept in enumerate(dictionary.concepts):
        assert concept.share_of_activation == pytest.approx(np.abs(codes[:, k]).sum() / np.abs(codes).sum())
        assert concept.n_active == (codes[:, k] > 0).sum() > 0
        assert concept.images[0].activation == pytest.approx(codes[:, k].max())
        assert all(hit.activation > 0 for hit in concept.images)


@every
def test_the_samples_of_the_fit_encode_to_their_codes(dictionary, states):
    np.testing.assert_allclose(dictionary.encode(states), dictionary.codes, atol=2e-4)


def files(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@every
def test_saved_and_loaded(dictionary, states, tmp_path):
    saved = dictionary.save_pretrained(tmp_path / "saved")
    loaded = ConceptDictionary.from_pretrained(saved)
    np.testing.assert_array_equal(loaded.encode(states), dictionary.encode(states))
    np.testing.assert_array_equal(loaded.decode(loaded.codes), dictionary.decode(dictionary.codes))
    assert loaded.concepts == dictionary.concepts
    assert report_html(loaded) == report_html(dictionary)
    assert loaded.estimator.get_params() == dictionary.estimator.get_params()
    assert files(loaded.save_pretrained(tmp_path / "again")) == files(saved)


READINGS = {
    "SemiNMF": ("a mixture of concepts", "never negative", "the sum of all concepts misses"),
    "NMF": ("a mixture of concepts", "never negative", "the sum of all concepts misses"),
    "LargestNorm": ("a mixture of concepts", "never negative", "the sum of all concepts misses"),
    "PCA": ("the mean of all such states and a mixture", "activations of either sign", "the absolute value counts"),
    "KMeans": ("near one of these concepts", "by 1 / (1 + distance)", "its states going to the next nearest"),
}


@every
def test_the_report_says_how_it_is_to_be_read(dictionary):
    html = report_html(dictionary)
    kind = type(dictionary.estimator).__name__
    for name, sentences in READINGS.items():
        if name == kind:
            assert all(sentence in html for sentence in sentences)
    assert f"<dd>{kind}" in html
    assert ("never negative" in html) == (kind in ("SemiNMF", "NMF", "LargestNorm"))


@every
def test_an_image_is_explained(estimator, lmm, speaker, dog_states):
    if isinstance(estimator, NMF):
        pytest.skip("the states of the model have both signs")
    dictionary = ConceptDictionary.fit(dog_states, estimator.set_params(n_components=2)).ground(lmm)
    explanation = dictionary.explain(lmm, speaker.images[2])
    state = dog_states.X[2].astype(np.float64)
    codes = dictionary.encode(state[None])
    missed = state - estimator.inverse_transform(codes)[0]
    assert explanation.residual == pytest.approx(missed @ missed / (state @ state), rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(explanation.activations, codes[0], atol=1e-5)
    assert [a.share for a in explanation.concepts] == pytest.approx(
        [a.activation / np.abs(codes).sum() for a in explanation.concepts], rel=1e-3
    )
    assert all(a.activation > 0 for a in explanation.concepts)
    assert explanation.n_active + explanation.n_negative == np.count_nonzero(codes)


def test_the_shares_of_a_signed_explanation_add_up(lmm, speaker, dog_states):
    dictionary = ConceptDictionary.fit(dog_states, PCA(2)).ground(lmm)
    signed = [dictionary.explain(lmm, image) for image in speaker.images[:6]]
    mixed = next(e for e in signed if e.n_active == 1 and e.n_negative == 1)
    shares = [int(line.split("%")[0]) for line in str(mixed).splitlines()[1:-1]]
    assert len(shares) == 2
    assert sum(shares) == pytest.approx(100, abs=1)
    assert "1 negative" in str(mixed)
    assert "1 is negative." in mixed._repr_html_()


@pytest.mark.parametrize("estimator", [KMeans()], indirect=True)
def test_without_a_concept_states_go_to_the_next_nearest_and_without_the_last_to_none(states):
    one = ConceptDictionary.fit(states, KMeans(1, n_init=1, random_state=0))
    X = states.X.astype(np.float64)
    total = np.sum(X**2)
    assert one.relative_error == pytest.approx(np.sum((X - X.mean(axis=0)) ** 2) / total, rel=1e-4)
    assert one.relative_error + one.error_shares[0] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("estimator", [PCA()], indirect=True)
def test_states_that_are_all_alike_have_no_principal_component(states):
    states.X[:] = states.X[0]
    with pytest.raises(ValueError, match=r"no state activates any concept of PCA.*norm [\d.]+$"):
        ConceptDictionary.fit(states, PCA(2))
