"""The main job from end to end, as ``coxlmm demo`` runs it, on few scenes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coxlmm import ConceptDictionary, States
from coxlmm.demo import model


@pytest.fixture(scope="module")
def demo(demo_lmm, demo_model_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    (out / model.NAME).symlink_to(Path(demo_model_cache["XDG_CACHE_HOME"]) / "coxlmm" / model.NAME)
    options = ["--word", "cat", "--n-scenes", "24", "--n-concepts", "4", "--out", str(out)]
    command = [str(Path(sys.executable).with_name("coxlmm")), "demo", *options]
    run = subprocess.run(command, capture_output=True, text=True, env=demo_model_cache | {"COLUMNS": "200"})
    assert run.returncode == 0, run.stdout + run.stderr
    return out, run.stdout


def test_it_ends_with_the_concepts_and_the_path_of_the_report(demo):
    out, printed = demo
    assert printed.rstrip().endswith(str(out / "report.html"))
    assert len(re.findall(r"^│\s+\d+ │\s+\d+% │ .*\w", printed, re.MULTILINE)) == 4


def test_what_it_leaves_can_be_loaded_and_agrees(demo):
    out, printed = demo
    states, dictionary = States.load(out / "states"), ConceptDictionary.from_pretrained(out / "dictionary")
    assert f"{len(states)} of 24" in printed
    assert dictionary.components.shape == (4, states.X.shape[1])
    codes = dictionary.encode(states)
    assert (codes >= 0).all()
    assert np.linalg.norm(states.X - codes @ dictionary.components) < np.linalg.norm(states.X)
    html = (out / "report.html").read_text()
    assert all(word in html for concept in dictionary.concepts for word, _ in concept.words[:1])
