"""Every figure of an evaluation is what it says, and what is missing is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation.judges import tiny_clip
from sklearn.base import BaseEstimator

from coxlmm import PCA, ConceptDictionary, KMeans, SemiNMF
from coxlmm.demo.evaluate import installed_bert
from coxlmm.estimators import Whitened
from coxlmm.evaluation import ClipModel, Evaluation, evaluate
from coxlmm.evaluation.baselines import RandomStates, SignedNMF, baselines, share_of_l1
from coxlmm.evaluation.clip_score import described_by
from coxlmm.evaluation.measures import MEASURES

CLIP_SCORES = {"clip_score", "clip_score_top_r"}
BERT_SCORES = {"bert_score_f1", "bert_score_precision", "bert_score_recall", "bert_score_f1_top_r"}
OF_FITS = set(MEASURES) - CLIP_SCORES - BERT_SCORES


@pytest.fixture(scope="module")
def clip():
    return ClipModel(*tiny_clip())


@pytest.fixture
def evaluation(dictionary, lmm, states, unseen, clip, bert):
    held_out, images = unseen
    return dictionary.evaluate(lmm, states, held_out, images=images, clip=clip, bert=bert, n_seeds=3, n_top=2)


def test_all_figures_of_all_methods_have_their_spread(evaluation, tmp_path):
    written = json.loads(evaluation.save(tmp_path / "a" / "evaluation.json").read_text())
    fits = ["semi_nmf", "whitened_semi_nmf", "simple", "pca", "kmeans", "nmf", "random_states"]
    assert list(written["methods"]) == [*fits, "random_words", "noise_images", "references"]
    for method in fits:
        assert set(written["methods"][method]) == set(MEASURES), method
    assert set(written["methods"]["random_words"]) == CLIP_SCORES | BERT_SCORES | {"overlap"}
    assert set(written["methods"]["noise_images"]) == CLIP_SCORES
    assert set(written["methods"]["references"]) == {"clip_score"} | BERT_SCORES - {"bert_score_f1_top_r"}
    for method, figures in written["methods"].items():
        for measure, figure in figures.items():
            values = figure["values"]
            assert len(values) == figure["n_seeds"] == (1 if method == "references" else 3), (method, measure)
            assert figure["mean"] == pytest.approx(np.mean(values))
            if method != "references":
                assert figure["std"] == pytest.approx(np.std(values, ddof=1))
    assert written["left_out"] == {}
    assert written["settings"]["bert_layer"] == 6
    assert Evaluation.from_dict(written).to_dict() == written


def test_the_first_fit_is_the_dictionary_and_errors_are_those_of_its_transform(evaluation, dictionary, unseen):
    own = evaluation.results["semi_nmf"]
    held_out = unseen[0].X.astype(float)
    residual = held_out - dictionary.decode(dictionary.encode(held_out).astype(float))
    assert own["held_out_error"].values[0] == pytest.approx((residual**2).sum() / (held_out**2).sum())
    assert own["relative_error"].values[0] == dictionary.relative_error
    assert own["mean_active"].values[0] == dictionary.mean_active
    assert own["zeros"].values[0] == pytest.approx((dictionary.codes == 0).mean())
    assert evaluation.method == "semi_nmf"


def test_clip_score_is_of_the_words_of_the_most_active_concepts(evaluation, dictionary, unseen, clip):
    held_out, images = unseen
    # Each concept says "dog" and nothing else, so whichever is most active, this is the text.
    (text,) = clip.texts([described_by(["dog"])])
    scores = 2.5 * np.maximum(clip.images(images.values()) @ text, 0)
    assert np.ptp(scores) > 0
    own = evaluation.results["semi_nmf"]
    assert own["clip_score"].values == pytest.approx([scores.mean()] * 3)
    assert own["clip_score_top_r"].values == pytest.approx([scores.mean()] * 3)
    captions = 2.5 * np.maximum(
        np.einsum("nd,nd->n", clip.images(images.values()), clip.texts([r for (r,) in held_out.references])), 0
    )
    assert evaluation.results["references"]["clip_score"].values == pytest.approx([captions.mean()])
    noise = evaluation.results["noise_images"]["clip_score"]
    assert len(set(noise.values)) == 3
    assert noise.mean != own["clip_score"].mean


def test_words_that_fit_are_between_chance_and_ceiling(evaluation):
    f1 = {
        method: figures["bert_score_f1"] for method, figures in evaluation.results.items() if method != "noise_images"
    }
    assert f1["references"].values == pytest.approx([1.0])
    assert max(f1["random_words"].values) < f1["semi_nmf"].mean < 1
    assert evaluation.results["semi_nmf"]["overlap"].mean == 1  # all say "dog"
    assert evaluation.results["random_words"]["overlap"].mean < 1


def test_the_dictionary_keeps_its_stability_and_a_summary(evaluation, dictionary):
    assert dictionary.stability == pytest.approx(np.ones(3), abs=0.05)
    assert evaluation.results["semi_nmf"]["stability"].mean == pytest.approx(1, abs=0.05)
    assert evaluation.results["random_states"]["stability"].mean < 0.95
    kept = dictionary.measures["evaluation"]["figures"]
    assert set(kept) == set(MEASURES)
    own = evaluation.results["semi_nmf"]
    assert kept["stability"] == {"mean": own["stability"].mean, "std": own["stability"].std}
    json.dumps(dictionary.measures)


class Spy(BaseEstimator):
    """Keeps what it was fitted to, and with which seeds."""

    seen: list = []  # noqa: RUF012 (scikit-learn copies instances)

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit_transform(self, X):
        Spy.seen.append((self.random_state, X))
        self.components_ = np.eye(X.shape[1])[:2] + X[:2]
        return self.transform(X)

    def transform(self, X):
        return np.abs(X @ self.components_.T)


def test_no_fit_sees_held_out_states_and_no_seed_comes_twice(lmm, states, unseen, monkeypatch):
    monkeypatch.setattr(Spy, "seen", [])
    spied = ConceptDictionary.fit(states, Spy(random_state=1))
    evaluate(spied, lmm, states, unseen[0], methods={"other": Spy()}, n_seeds=3)
    assert [seed for seed, _ in Spy.seen] == [1, 0, 2, 0, 1, 2]
    assert all(X is states.X for _, X in Spy.seen)


def test_what_is_not_given_is_left_out_by_name(dictionary, lmm, states, unseen, bert):
    held_out = unseen[0]
    plain = evaluate(dictionary, lmm, states, held_out, n_seeds=1, methods={})
    assert set(plain.results["semi_nmf"]) == OF_FITS - {"stability"}
    assert set(plain.left_out) == {"clip_score", "bert_score", "stability"}
    assert list(plain.results) == ["semi_nmf", "random_words"]
    assert plain.results["semi_nmf"]["zeros"].std is None
    assert dictionary.stability is None
    silent = held_out.subset(slice(None))
    silent.references = None
    left_out = evaluate(dictionary, lmm, states, silent, bert=bert, n_seeds=1, methods={}).left_out
    assert "no reference captions" in left_out["bert_score"]
    assert "no reference captions" in left_out["references"]
    assert "left out: bert_score: no BERT was given" in str(plain)


def test_a_method_that_cannot_be_fitted_is_left_out_by_name(dictionary, lmm, states, unseen):
    found = evaluate(dictionary, lmm, states, unseen[0], n_seeds=1, methods={"pca": PCA(61), "kmeans": KMeans(3)})
    assert set(found.results) == {"semi_nmf", "kmeans", "random_words"}
    assert "n_components=61 exceeds n_samples=60" in found.left_out["pca"]


def test_states_must_be_those_of_the_fit_and_held_out_ones_others(dictionary, lmm, states, unseen, clip):
    held_out, images = unseen
    with pytest.raises(ValueError, match=r"not those that the dictionary was fitted to: they are 20 .* fitted to 60"):
        evaluate(dictionary, lmm, held_out, states)
    with pytest.raises(ValueError, match="5 of 5 held-out samples were used in the fit, the first is '1-3'"):
        evaluate(dictionary, lmm, states, states.subset(slice(3, 8)))
    in_another_batch = states.subset(slice(3, 8))
    in_another_batch.X = in_another_batch.X * np.float32(1 + 1e-5)
    with pytest.raises(ValueError, match="5 of 5 held-out samples were used in the fit"):
        evaluate(dictionary, lmm, states, in_another_batch)
    same_names = held_out.subset(slice(None))
    same_names.sample_ids = states.sample_ids[:20]  # positions in lists, say
    assert evaluate(dictionary, lmm, states, same_names, n_seeds=1, methods={}).results
    for name, value in (("layer", 0), ("position", "word")):
        other = held_out.subset(slice(None))
        other.manifest[name] = value
        own = replace(states, manifest={"position": "predicting", **states.manifest})
        with pytest.raises(ValueError, match=f"not extracted as those of the fit were: {name} is {value!r}, and was"):
            evaluate(dictionary, lmm, own, other, n_seeds=1)
    with pytest.raises(ValueError, match="'semi_nmf' is what the dictionary's own method is called"):
        evaluate(dictionary, lmm, states, held_out, methods={"semi_nmf": SemiNMF(2)})
    empty = held_out.subset(slice(None))
    empty.references[2] = ()
    with pytest.raises(ValueError, match="no reference caption: '2-2'"):
        evaluate(dictionary, lmm, states, empty, n_seeds=1)
    with pytest.raises(ValueError, match=r"CLIPScore needs the images .* '2-0' is missing"):
        evaluate(dictionary, lmm, states, held_out, clip=clip)
    with pytest.raises(ValueError, match="no image of sample '2-4'"):
        evaluate(dictionary, lmm, states, held_out, clip=clip, images={k: v for k, v in images.items() if k != "2-4"})
    with pytest.raises(ValueError, match="got 0 and 3"):
        evaluate(dictionary, lmm, states, held_out, n_seeds=0)


def test_samples_that_activate_nothing_are_counted_and_not_judged(lmm, states, unseen, bert):
    sparse = ConceptDictionary.fit(states, SemiNMF(3, l1=0.5, random_state=0))
    held_out = unseen[0].subset(slice(None))
    held_out.X = held_out.X.copy()
    held_out.X[:5] *= -1
    found = evaluate(
        sparse, lmm, states, held_out, bert=installed_bert(), n_seeds=1, methods={}, n_words=1, contrast="none"
    )
    whole = evaluate(
        sparse, lmm, states, held_out.subset(slice(5, None)), bert=bert, n_seeds=1, methods={}, n_words=1,
        contrast="none",
    )  # fmt: skip
    assert found.results["semi_nmf"]["unexplained"].mean == pytest.approx(5 / 20)
    scores = [one.results["semi_nmf"]["bert_score_f1"].mean for one in (found, whole)]
    assert scores[0] == pytest.approx(scores[1])


def test_a_whitened_dictionary_is_compared_with_the_same_share_of_what_is_decomposed(lmm, states, unseen, bert):
    whitened = ConceptDictionary.fit(states, Whitened(SemiNMF(3, l1=0.05, random_state=0)))
    found = evaluate(whitened, lmm, states, unseen[0], bert=bert, n_seeds=2, n_words=2)
    assert found.method == "whitened_semi_nmf"
    assert {"semi_nmf", "simple", "pca"} < set(found.results)
    assert 0 <= found.results["whitened_semi_nmf"]["stability"].mean <= 1
    norm = np.median(np.linalg.norm(states.X, axis=1))
    share = share_of_l1(whitened.estimator, states.X)
    assert share == pytest.approx(0.025)
    methods = baselines(states.X, 3, share)
    assert methods["semi_nmf"].l1 == pytest.approx(0.05 * norm)
    assert methods["whitened_semi_nmf"].estimator.l1 == pytest.approx(0.05)
    assert share_of_l1(methods["semi_nmf"], states.X) == pytest.approx(share)
    assert share_of_l1(PCA(), states.X) == 0


def test_baselines_decompose_signed_states():
    rng = np.random.default_rng(0)
    V = rng.random((80, 3)) * (rng.random((80, 3)) < 0.5)
    X = V @ rng.standard_normal((3, 10))
    nmf = SignedNMF(6, l1=0.0, random_state=0)
    codes = nmf.fit_transform(X)
    assert codes.min() >= 0
    assert np.linalg.norm(X - codes @ nmf.components_) < 0.2 * np.linalg.norm(X)
    np.testing.assert_allclose(nmf.transform(X) @ nmf.components_, codes @ nmf.components_, atol=0.05)
    drawn = RandomStates(4, l1=0.1, random_state=0).fit(X).components_
    unit = X / np.linalg.norm(X, axis=1, keepdims=True).clip(1e-12)
    assert all(np.isclose(unit, row).all(axis=1).any() for row in drawn)
    assert not np.allclose(drawn, RandomStates(4, l1=0.1, random_state=1).fit(X).components_)
