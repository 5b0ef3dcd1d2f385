"""What ``make evaluate`` runs, on few scenes."""

import json
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import pytest
from rich.console import Console

from coxlmm.demo import evaluate, model, recovery, world
from coxlmm.evaluation import Recovery, Spread, ValueRecovery


@pytest.fixture(scope="module")
def out(demo_lmm, demo_model_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    (out / model.NAME).symlink_to(Path(demo_model_cache["XDG_CACHE_HOME"]) / "coxlmm" / model.NAME)
    options = ["--word", "dog", "--n-train", "48", "--n-test", "40", "--n-seeds", "2", "--out", str(out)]
    command = [sys.executable, "-m", "coxlmm.demo.evaluate", *options]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return out


def figures(value):
    """All figures with a spread in nested JSON values."""
    if isinstance(value, dict):
        if "values" in value and "mean" in value:
            yield value
        else:
            for inner in value.values():
                yield from figures(inner)


def test_every_figure_has_its_spread_by_method_and_measure(out):
    written = json.loads((out / "evaluation.json").read_text())
    methods = written["evaluation"]["dog"]["methods"]
    assert {"semi_nmf", "whitened_semi_nmf", "simple", "pca", "kmeans", "nmf", "random_words"} < set(methods)
    for method in ("semi_nmf", "simple", "pca", "kmeans", "nmf"):
        assert {"bert_score_f1", "overlap", "held_out_error", "mean_active", "stability"} < set(methods[method])
    assert {figure["n_seeds"] for method in methods for figure in methods[method].values()} == {1, 2}
    assert methods["random_words"]["bert_score_f1"]["mean"] < methods["semi_nmf"]["bert_score_f1"]["mean"] < 1
    assert written["evaluation"]["dog"]["left_out"] == {"clip_score": "no CLIP was given"}
    assert len(list(figures(written))) > 100
    assert written["settings"]["layer"] == 29


def test_recovery_has_the_worlds_factors_at_both_positions_beside_the_papers_setting(out):
    written = json.loads((out / "evaluation.json").read_text())
    recovered, settings = written["recovery"]["dog"], written["recovery_by_setting"]["dog"]
    assert {"tint", "order"} <= set(recovered) <= set(recovery.FACTORS)
    for factor in recovered.values():
        assert all(0 <= factor[auc] <= 1 for auc in ("concept_auc", "codes_auc", "probe_auc", "random_auc"))
    assert {(s["position"], s["layer"]) for s in settings} == {
        (position, layer) for position, layers in recovery.PLACES.items() for layer in layers
    }
    assert {s["method"] for s in settings} == {"semi_nmf", "semi_nmf_30", "whitened_semi_nmf", "whitened_semi_nmf_40"}
    named = written["settings"]["recovery"]
    (first,) = [s for s in settings if all(s[key] == value for key, value in named.items())]
    assert first["factors"] == recovered


def test_plots_and_states_are_left_and_these_are_used_again(out):
    assert all((out / f"{kind}-dog-29.png").stat().st_size > 10_000 for kind in ("evaluation", "choice"))
    shown = list(islice(world.scenes("test", count(), "dog"), 88))
    wanted = ("dog", "visual-mean", [9, 20])
    path = out / "states-dog-visual-mean"
    kept = evaluate._states(None, *wanted, shown, path, Console())  # no model: nothing is extracted
    assert set(kept[9].sample_ids) <= {scene.id for scene in shown}
    with pytest.raises(AttributeError):
        evaluate._states(None, *wanted, shown[1:], path, Console(quiet=True))


def test_where_nothing_is_represented_there_is_no_mean():
    value = ValueRecovery("red", 10, 10, *[Spread.of([0.6])] * 2, 0.7, Spread.of([0.5]))
    setting = recovery.Setting("predicting", 29, "semi_nmf", "SemiNMF()", Recovery({"tint": [value]}))
    assert json.loads(json.dumps(setting.to_dict(), allow_nan=False))["mean_concept_auc_of_represented"] is None
