"""Which number of concepts and which penalty a sweep recommends."""

import json

import numpy as np
import pytest

from coxlmm import KMeans, SemiNMF, States
from coxlmm.estimators import Whitened
from coxlmm.evaluation import choose
from coxlmm.evaluation.baselines import l1_of_share

TRUE_K, NOISE = 6, 0.15


def planted(n=240, seed=0):
    """Sparse combinations of six directions, with noise."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((TRUE_K, 30))
    V = rng.exponential(5, (n, TRUE_K)) * (rng.random((n, TRUE_K)) < 0.35)
    X = V @ (U / np.linalg.norm(U, axis=1, keepdims=True)) + NOISE * rng.standard_normal((n, 30))
    names = [f"{i % (n // 2)}" for i in range(n)]  # two states a sample
    return States(X, names, [""] * n, np.zeros(n), {"word": "dog", "layer": 2}), V


@pytest.fixture(scope="module")
def choice():
    return choose(planted()[0], [3, 6, 9, 14], [0.05, 0.5, 5, 50])


def test_the_planted_number_of_concepts_and_their_sparsity_are_recommended(choice):
    assert choice.recommended.n_components == TRUE_K
    assert choice.recommended.l1 in (0.5, 5)
    planted_active = (planted()[1] > 0).sum(axis=1).mean()
    assert choice.recommended.mean_active.mean == pytest.approx(planted_active, rel=0.35)
    assert choice.recommended.stability.mean > 0.99
    least = min(one.held_out_error.mean for one in choice.candidates)
    assert choice.recommended.held_out_error.mean < least + 0.03


def test_it_recommends_an_efficient_candidate_that_is_about_nearest_to_the_ideal(choice):
    efficient = [one for one in choice.candidates if one.efficient]
    front = np.array([one.objectives.mean(axis=0) for one in efficient])
    scaled = (front - front.min(axis=0)) / np.ptp(front, axis=0)
    assert [one.distance for one in efficient] == pytest.approx(np.linalg.norm(scaled, axis=1))
    assert choice.recommended in efficient
    for one in choice.candidates:
        better = [o for o in choice.candidates if (o.objectives.mean(axis=0) < one.objectives.mean(axis=0)).all()]
        assert not (one.efficient and better)
        assert (one.distance is None) == (not one.efficient)
    nearest = min(efficient, key=lambda one: one.distance)
    scale = np.ptp(front, axis=0)
    by_seed = np.linalg.norm((nearest.objectives - front.min(axis=0)) / scale, axis=1)
    assert choice.recommended.distance <= nearest.distance + by_seed.std(ddof=1) / np.sqrt(3)


def test_figures_are_those_of_fits_that_see_no_state_of_a_held_out_sample(monkeypatch):
    fitted_to = []
    original = SemiNMF.fit_transform
    monkeypatch.setattr(SemiNMF, "fit_transform", lambda self, X: fitted_to.append(X) or original(self, X))
    states, _ = planted()
    found = choose(states, [4], [0.5], n_seeds=3)
    (one,) = found.candidates
    assert len(fitted_to) == 3
    row = {x.tobytes(): name for x, name in zip(states.X, states.sample_ids, strict=True)}
    inside = [row[x.tobytes()] for x in fitted_to[0]]
    assert found.settings["n_states"] == len(inside) == 192 == 2 * len(set(inside))
    rest = states.X[~np.isin(states.sample_ids, inside)].astype(float)
    assert found.settings["n_held_out"] == len(rest) == 48
    for seed in range(3):
        model = SemiNMF(4, l1=0.5, random_state=seed).fit(fitted_to[seed])
        codes = model.transform(rest)
        residual = rest - codes @ model.components_
        assert one.held_out_error.values[seed] == pytest.approx((residual**2).sum() / (rest**2).sum(), rel=1e-4)
        assert one.mean_active.values[seed] == pytest.approx((codes > 0).sum(axis=1).mean(), abs=0.05)
    assert one.n_used.values == (4, 4, 4)
    assert one.relative_error.mean == pytest.approx(one.held_out_error.mean, rel=0.5)


def test_default_penalties_are_in_proportion_to_the_states(choice):
    states, _ = planted()
    larger = States(100 * states.X, states.sample_ids, states.captions, states.positions)
    small, large = (choose(some, [4], n_seeds=2) for some in (states, larger))
    assert [one.l1 for one in large.candidates] == pytest.approx([100 * one.l1 for one in small.candidates])
    for a, b in zip(small.candidates, large.candidates, strict=True):
        assert a.held_out_error.mean == pytest.approx(b.held_out_error.mean, rel=1e-2)


def test_a_share_of_1_silences_half_of_the_states_whatever_concepts_are():
    X = planted()[0].X
    X = X[np.linalg.norm(X, axis=1) > 1]
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    best = (X * units).sum(axis=1)  # of each state, with the concept that is the state itself
    assert (best > l1_of_share(SemiNMF(), X, 1.0) / 2).mean() == pytest.approx(0.5, abs=0.01)


def test_an_estimator_within_another_is_chosen_for(choice):
    found = choose(planted()[0], [3, 6], estimator=Whitened(SemiNMF()), n_seeds=2)
    assert [one.l1 for one in found.candidates[:4]] == pytest.approx([0.02, 0.06, 0.2, 0.6])
    assert found.recommended.n_components in (3, 6)
    with pytest.raises(ValueError, match=r"KMeans\(\) has no parameter 'l1'"):
        choose(planted()[0], [3], [1.0], estimator=KMeans())


def test_it_is_written_shown_and_drawn(choice, tmp_path):
    written = json.loads(choice.save(tmp_path / "choice.json").read_text())
    assert written["recommended"] == {"n_components": 6, "l1": choice.recommended.l1}
    assert len(written["candidates"]) == 16
    for name in ("held_out_error", "relative_error", "stability", "chance", "mean_active", "n_used"):
        assert all(len(one[name]["values"]) == 3 and "std" in one[name] for one in written["candidates"])
    (line,) = [line for line in str(choice).splitlines() if "recommended" in line]
    assert line.startswith(f"6 concepts, l1={choice.recommended.l1:g}, recommended")
    assert str(choice.recommended.held_out_error) in line
    assert choice.table("markdown").count("\n") == 17
    assert choice._repr_html_().count("<tr>") == 17
    figure = choice.plot(tmp_path / "choice.svg")
    assert (tmp_path / "choice.svg").read_text().startswith("<?xml")
    assert len(figure.axes) == 4


def test_what_cannot_be_fitted_is_left_out_by_name():
    states = planted(40)[0]
    found = choose(states, [2, 100], [0.5, 1e9], n_seeds=2)
    assert [(one.n_components, one.l1) for one in found.candidates] == [(2, 0.5)]
    assert "exceeds n_samples=32" in found.left_out["K=100, l1=0.5"]
    assert "lower its l1" in found.left_out["K=2, l1=1e+09"]
    assert "left out: K=2, l1=1e+09" in str(found)
    with pytest.raises(ValueError, match="no candidate can be fitted: n_components=100"):
        choose(states, [100], [0.5])


def test_senseless_requests_are_refused():
    states = planted(40)[0]
    with pytest.raises(ValueError, match="nothing to try"):
        choose(states, [])
    with pytest.raises(ValueError, match="n_seeds must be at least 2, got 1"):
        choose(states, [2], n_seeds=1)
    for held_out in (0.0, 1.0, 0.01):
        with pytest.raises(ValueError, match=f"got {held_out} of 20"):
            choose(states, [2], held_out=held_out)
