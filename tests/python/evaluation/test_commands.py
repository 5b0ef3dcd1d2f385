"""The commands ``evaluate`` and ``choose``, from a model and images on disk."""

import json

import pytest
from evaluation.judges import tiny_clip
from typer.testing import CliRunner

from coxlmm import LMM, ConceptDictionary
from coxlmm.cli import app
from coxlmm.demo.evaluate import installed_bert


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result


def failure(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.fixture(scope="module")
def folder(speaker, tmp_path_factory):
    """A model, images that were seen and others, a CLIP, states and a dictionary."""
    folder = tmp_path_factory.mktemp("evaluation")
    LMM(speaker.model, speaker.processor, prompt=speaker.prompt).save_pretrained(folder / "model")
    for name in ("seen", "unseen"):
        (folder / name).mkdir()
        for i, image in enumerate(speaker.images):
            image.save(folder / name / f"{name}-{i}.png")
    colours = ["red", "red", "blue", "blue", "hot", "hot", "hot"]
    captions = [{"file_name": f"unseen-{i}.png", "caption": f"a {colour} dog"} for i, colour in enumerate(colours)]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, captions)))
    model, processor = tiny_clip()
    model.save_pretrained(folder / "clip")
    processor.save_pretrained(folder / "clip")
    run("extract", folder / "model", folder / "seen", "--word", "dog", "--out", folder / "states")
    run("fit", folder / "states", "--n-concepts", 3, "--l1", 0.01, "--out", folder / "dictionary")
    return folder


@pytest.fixture
def asked(folder):
    return ["evaluate", folder / "dictionary", "--states", folder / "states", "--n-seeds", 2]


def test_unseen_images_are_captioned_and_judged(folder, asked, tmp_path):
    result = run(
        *asked, "--images", folder / "unseen", "--references", folder / "captions.jsonl", "--clip", folder / "clip",
        "--bert", installed_bert(), "--out", tmp_path / "evaluation.json", "--plot", tmp_path / "evaluation.png",
        "--update",
    )  # fmt: skip
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["settings"]["n_held_out"] == 6
    assert written["settings"]["clip"] == "clip"
    assert {"clip_score", "bert_score_f1", "stability"} < set(written["methods"]["semi_nmf"])
    assert len(written["methods"]["semi_nmf"]["stability"]["values"]) == 2
    assert written["left_out"] == {}
    assert "Semi-NMF (this dictionary)" in result.stdout
    assert (tmp_path / "evaluation.png").stat().st_size > 10_000
    kept = ConceptDictionary.from_pretrained(folder / "dictionary")
    assert kept.stability.shape == (3,)
    assert kept.measures["evaluation"]["figures"]["stability"]["mean"] == pytest.approx(
        written["methods"]["semi_nmf"]["stability"]["mean"]
    )


def test_states_of_unseen_images_do_as_well_and_nothing_else_is_needed(folder, asked, tmp_path):
    run("extract", folder / "model", folder / "unseen", "--word", "dog", "--out", tmp_path / "states")
    result = run(*asked, "--test-states", tmp_path / "states", "--markdown")
    assert result.stdout.startswith("|  | overlap of words ↓ | relative error ↓ |")
    assert "left out: `clip_score`: `no CLIP was given" in result.stdout
    with_clip = run(*asked, "--test-states", tmp_path / "states", "--clip", folder / "clip")
    assert "noise images" in with_clip.stdout


def test_what_is_asked_for_in_vain_is_said(folder, asked, tmp_path):
    assert "--images, or their --test-states" in failure(*asked)
    both = ["--test-states", folder / "states", "--references", folder / "captions.jsonl"]
    assert "--references go with --images" in failure(*asked, *both)
    assert "6 of 6 held-out samples were used in the fit" in failure(*asked, "--test-states", folder / "states")
    wordless = ConceptDictionary.from_pretrained(folder / "dictionary")
    del wordless.manifest["word"]
    wordless.save_pretrained(tmp_path / "wordless")
    message = failure("evaluate", tmp_path / "wordless", "--states", folder / "states", "--images", folder / "unseen")
    assert "does not know its word" in message


def test_a_dictionary_of_the_hub_is_not_updated(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder / "dictionary"))
    monkeypatch.setattr(LMM, "from_pretrained", lambda *_, **__: pytest.fail("the model is loaded"))
    monkeypatch.chdir(tmp_path)
    message = failure("evaluate", "me/dogs", "--states", folder / "states", "--images", folder / "unseen", "--update")
    assert "'me/dogs' is a repository of the hub, which is not written to: leave out --update" in message
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_figure_is_refused_before_the_work(folder, asked, monkeypatch):
    monkeypatch.setattr(LMM, "from_pretrained", lambda *_, **__: pytest.fail("the model is loaded"))
    monkeypatch.setattr("coxlmm.evaluation.choose", lambda *_, **__: pytest.fail("fits are made"))
    for command in ([*asked, "--images", folder / "unseen"], ["choose", folder / "states"]):
        assert "a figure's name must end in .png, .svg, .pdf" in failure(*command, "--plot", "a.jpg")


def test_choose_recommends_a_fit(folder, tmp_path):
    result = run(
        "choose", folder / "states", "--n-concepts", 1, "--n-concepts", 2, "--l1", 0.01, "--l1", 0.1, "--n-seeds", 2,
        "--held-out", 0.5, "--out", tmp_path / "choice.json", "--plot", tmp_path / "choice.svg",
    )  # fmt: skip
    written = json.loads((tmp_path / "choice.json").read_text())
    tried = [(one["n_components"], one["l1"]) for one in written["candidates"]]
    assert tried == [(1, 0.01), (1, 0.1), (2, 0.01), (2, 0.1)]
    best = written["recommended"]
    assert f"--n-concepts {best['n_components']} --l1 {best['l1']:g} " in result.stderr
    assert f"{best['n_components']} concepts, l1={best['l1']:g}, recommended" in result.stdout
    assert (tmp_path / "choice.svg").exists()
