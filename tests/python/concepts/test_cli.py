"""The command line: the whole way on a tiny model, what goes wrong, and how fast it starts."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from coxlmm import LMM, ConceptDictionary, States
from coxlmm.architecture import UnsupportedModelError
from coxlmm.cli import app
from coxlmm.grounding import Word, illustrate
from coxlmm.states import StatesGroup

PROGRAM = "import sys; from coxlmm.cli import app; app(prog_name='coxlmm')"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(speaker, tmp_path_factory):
    """A model and images on disk."""
    folder = tmp_path_factory.mktemp("cli")
    LMM(speaker.model, speaker.processor, prompt=speaker.prompt).save_pretrained(folder / "model")
    (folder / "images" / "more").mkdir(parents=True)
    for i, image in enumerate(speaker.images):
        image.save(folder / "images" / ("more" if i > 3 else ".") / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def extracted(folder):
    result = run("extract", folder / "model", folder / "images", "--word", "dog", "--out", folder / "states")
    assert result.exit_code == 0, result.output
    return folder / "states", result


@pytest.fixture(scope="module")
def fitted(folder, extracted):
    out = folder / "dictionary"
    arguments = ["--n-concepts", 3, "--l1", 0.01, "--n-words", 2, "--contrast", "none", "--out", out]
    result = run("fit", extracted[0], *arguments)
    assert result.exit_code == 0, result.output
    return out, result


def test_extract_keeps_the_images_that_count(folder, extracted):
    states = States.load(extracted[0])
    assert states.sample_ids == ["0.png", "1.png", "2.png", "3.png", "more/4.png", "more/5.png"]
    assert states.captions[2] == "one blue dog"
    assert "6 of 7 images count" in extracted[1].stderr


def test_extract_reads_reference_captions(folder, tmp_path):
    lines = [{"file_name": f"{i}.png", "caption": "a dog" if i % 2 else "a cat"} for i in range(4)]
    lines += [{"image": f"more/{i}.png", "text": "a cat"} for i in (4, 5, 6)]
    lines += [{"image": "more/4.png", "text": "a dog"}]
    references = tmp_path / "captions.jsonl"
    references.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    arguments = ["extract", folder / "model", folder / "images", "--word", "dog", "--references", references]
    result = run(*arguments, "--layer", 0, "--out", tmp_path / "states")
    assert result.exit_code == 0, result.output
    states = States.load(tmp_path / "states")
    assert states.sample_ids == ["1.png", "3.png", "more/4.png"]
    assert states.manifest["layer"] == 0
    references.write_text("\n".join(json.dumps(line) for line in lines[1:]))
    assert "no caption for 1 of 7 images, '0.png'" in failure(run(*arguments, "--out", tmp_path / "other"))
    references.write_text('{"file_name": "0.png"}')
    assert "captions.jsonl, line 1: expected" in failure(run(*arguments, "--out", tmp_path / "other"))


def test_fit_finds_words_and_images(fitted, extracted):
    dictionary = ConceptDictionary.from_pretrained(fitted[0])
    assert [words[0].text for words in dictionary.words] == ["dog"] * 3
    assert all(hit.thumbnail for hits in dictionary.images for hit in hits)
    assert dictionary.encode(States.load(extracted[0])).shape == (6, 3)
    assert fitted[1].stderr.count("dog") == 3


def test_a_dictionary_does_not_say_where_the_images_were(folder, fitted):
    assert str(folder / "images") in (folder / "states" / "manifest.json").read_text()
    assert str(folder / "images") not in (fitted[0] / "config.json").read_text()


def test_fit_takes_images_from_elsewhere_and_leaves_words_out(folder, extracted, tmp_path):
    arguments = ["fit", extracted[0], "--n-concepts", 3, "--l1", 0.01, "--n-words", 99, "--contrast", "none"]
    arguments += ["--out", tmp_path / "d"]
    assert "there are no images" in failure(run(*arguments, "--images", tmp_path))
    Image.new("RGB", (16, 16)).save(tmp_path / "another.png")
    assert "no image of sample" in failure(run(*arguments, "--images", tmp_path))
    shutil.copytree(folder / "images", tmp_path / "images")
    assert run(*arguments, "--images", tmp_path / "images").exit_code == 0
    assert "my" in said(tmp_path / "d")
    assert run(*arguments, "--stop-words", "english").exit_code == 0
    assert "dog" in said(tmp_path / "d")
    assert "my" not in said(tmp_path / "d")


def test_fit_takes_what_words_are_to_be(folder, extracted, tmp_path):
    arguments = ["fit", extracted[0], "--n-concepts", 3, "--l1", 0.01, "--n-words", 99, "--out", tmp_path / "d"]

    def words(*options):
        result = run(*arguments, *options)
        assert result.exit_code == 0, result.output
        return said(tmp_path / "d")

    assert "dog" not in words("--contrast", "shared")  # all three concepts decode to it
    assert {"dog", "blu"} <= words("--contrast", "none")
    everyday = words("--contrast", "none", "--language", "en", "--language", "de", "--min-zipf", 4)
    assert {"dog", "hot"} <= everyday
    assert not {"blu", "tabb"} & everyday
    assert "cat" in words("--contrast", "none", "--inflections", "en", "--stop-words", "en")
    assert "two" not in said(tmp_path / "d")
    assert words("--contrast", "none", "--word-filter", "published") >= {"dog"}
    config = json.loads((tmp_path / "d" / "config.json").read_text())
    assert config["manifest"]["grounding"]["word_filter"]["name"] == "published"
    assert "one of shared, mean, none, got 'x'" in failure(run(*arguments, "--contrast", "x"))
    assert "got 'nltk'" in failure(run(*arguments, "--word-filter", "nltk"))
    mixed = ["--word-filter", "published", "--language", "en"]
    assert "has its own rules" in failure(run(*arguments, *mixed))


def said(dictionary):
    return {word.text for words in ConceptDictionary.from_pretrained(dictionary).words for word in words}


def test_the_model_is_loaded_as_it_was_for_the_states(folder, fitted, monkeypatch):
    asked = []
    load = LMM.from_pretrained
    monkeypatch.setattr(LMM, "from_pretrained", lambda name, **options: asked.append((name, options)) or load(name))
    model, image = str(folder / "model"), folder / "images" / "0.png"
    assert run("explain", fitted[0], image, "--model", model).exit_code == 0
    placed = ["--dtype", "float64", "--device-map", "cpu"]
    assert run("explain", fitted[0], image, "--model", model, *placed).exit_code == 0
    assert asked == [
        (model, {"prompt": "<image>", "dtype": "float32"}),
        (model, {"prompt": "<image>", "dtype": "float64", "device_map": "cpu"}),
    ]


def test_a_repository_is_loaded_at_its_revision(folder, fitted, tmp_path, monkeypatch):
    dictionary = ConceptDictionary.from_pretrained(fitted[0])
    dictionary.manifest |= {"model_id": "owner/model", "revision": "c0ffee", "model_is_local": False}
    saved = dictionary.save_pretrained(tmp_path / "d")
    asked = []

    def load(name, revision=None, **options):
        asked.append((name, revision))
        raise OSError("no network")

    monkeypatch.setattr(LMM, "from_pretrained", load)
    image = folder / "images" / "0.png"
    assert "cannot be loaded, say where it is with --model: no network" in failure(run("explain", saved, image))
    assert "error: no network" in failure(run("explain", saved, image, "--model", "owner/copy"))
    assert asked == [("owner/model", "c0ffee"), ("owner/copy", None)]


def test_the_bare_name_of_a_local_model_is_not_looked_up(folder, fitted):
    message = failure(run("explain", fitted[0], folder / "images" / "0.png"))
    assert "in a local directory, 'model': say where it is with --model" in message


def test_paths_of_this_machine_are_in_states_and_not_in_dictionaries(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    assert run("extract", "model", "images", "--word", "dog", "--out", tmp_path / "states").exit_code == 0
    manifest = States.load(tmp_path / "states").manifest
    assert (manifest["model_id"], manifest["source"]["path"]) == (str(folder / "model"), str(folder / "images"))
    monkeypatch.chdir(tmp_path)
    assert run("fit", "states", "--n-concepts", 3, "--out", "dictionary").exit_code == 0
    for file in ("config.json", "README.md"):
        text = (tmp_path / "dictionary" / file).read_text()
        assert str(folder) not in text
        assert "model" in text


def test_extract_hands_its_options_on(folder, tmp_path):
    arguments = ["extract", folder / "model", folder / "images", "--out", tmp_path / "states"]
    result = run(*arguments, "--word", "dog", "--verify", 2, "--token", "last", "--case-sensitive")
    assert result.exit_code == 0, result.output
    manifest = States.load(tmp_path / "states").manifest
    assert manifest["verified"]["n"] == 2
    assert (manifest["token"], manifest["case_sensitive"]) == ("last", True)
    assert "token must be one of first, last, mean" in failure(run(*arguments, "--word", "dog", "--token", "middle"))
    assert "'Dog'" in failure(run(*arguments, "--word", "Dog", "--case-sensitive"))


def test_several_words_and_layers_are_several_directories(folder, tmp_path):
    arguments = ["extract", folder / "model", folder / "images", "--out", tmp_path / "states"]
    result = run(*arguments, "--word", "dog", "--word", "hot dog", "--layer", "all", "--batch-size", "auto")
    assert result.exit_code == 0, result.output
    group = StatesGroup.load(tmp_path / "states")
    assert set(group) == {(word, layer) for word in ("dog", "hot dog") for layer in range(3)}
    assert "('hot dog', 2): 2 of 7 images count" in result.stderr
    message = failure(run("fit", tmp_path / "states", "--out", tmp_path / "d"))
    assert "holds several states (dog-layer-00, " in message
    StatesGroup({key[0]: states for key, states in group.items() if key[1] == 2}).save(tmp_path / "words")
    shared = run("fit", tmp_path / "words", "--n-concepts", 3, "--whiten", 0.5, "--l1", 0.01, "--out", tmp_path / "d")
    assert shared.exit_code == 0, shared.output
    assert ConceptDictionary.from_pretrained(tmp_path / "d").word == ["dog", "hot dog"]
    one = tmp_path / "states" / "dog-layer-02"
    assert run("fit", one, "--n-concepts", 3, "--out", tmp_path / "d").exit_code == 0
    named = run(*arguments, "--word", "dog", "--layer", "model.language_model.layers.1")
    assert named.exit_code == 0, named.output
    assert States.load(tmp_path / "states").manifest["layer"] == 1
    assert "'64x'" in failure(run(*arguments, "--word", "dog", "--batch-size", "64x"))


def test_an_interrupted_extraction_goes_on(folder, tmp_path, monkeypatch):
    arguments = ["extract", folder / "model", folder / "images", "--word", "dog", "--out", tmp_path / "states"]

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("coxlmm.captioner.generate", interrupted)
        assert run(*arguments, "--batch-size", 1).exit_code != 0
    assert "going on" not in run(*arguments[:-1], tmp_path / "other", "--batch-size", 1).stderr
    message = failure(run(*arguments, "--batch-size", 2))
    assert "differs from this one in batch_size (was 1, now 2)" in message
    assert "--no-resume" in message
    resumed = run(*arguments, "--batch-size", 1)
    assert resumed.exit_code == 0, resumed.output
    assert "going on with what an interrupted run has left in" in resumed.stderr
    assert run(*arguments, "--batch-size", 2, "--no-resume").exit_code == 0
    assert [p.name for p in tmp_path.glob("*states*")] == ["states"]


def test_an_unreadable_image_is_reported_at_the_end(folder, tmp_path):
    shutil.copytree(folder / "images", tmp_path / "images")
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    arguments = ["extract", folder / "model", tmp_path / "images", "--word", "dog", "--out", tmp_path / "states"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "not readable: 1 of them, the first is 0.png" in result.stderr
    assert "0.png" in failure(run(*arguments, "--on-error", "raise"))


def test_verify(folder, extracted, tmp_path):
    result = run("verify", extracted[0], "--n", 4)
    assert result.exit_code == 0, result.output
    assert "4 of 6 samples computed again: equal up to " in result.stderr
    states = States.load(extracted[0])
    states.X = states.X.copy()
    states.X[3] = states.X[0]
    states.save(tmp_path / "states")
    assert "sample '3.png' at layer 2 differs" in failure(run("verify", tmp_path / "states", "--n", 6))
    del states.manifest["source"]
    states.save(tmp_path / "states")
    assert "name the place with --images" in failure(run("verify", tmp_path / "states"))
    shutil.copytree(folder / "images", tmp_path / "images")
    (tmp_path / "images" / "1.png").unlink()
    message = failure(run("verify", tmp_path / "states", "--n", 6, "--images", tmp_path / "images"))
    assert "1 of the samples drawn are not among the images, the first is '1.png'" in message


def test_fit_warns_of_codes_that_are_not_sparse(extracted, tmp_path, monkeypatch):
    for mean_active, warned in ((2.69, False), (2.75, True)):
        monkeypatch.setattr(ConceptDictionary, "mean_active", mean_active)
        result = run("fit", extracted[0], "--n-concepts", 3, "--l1", 0.5, "--out", tmp_path / "d")
        assert result.exit_code == 0, result.output
        assert ("a larger --l1 (now 0.5) makes it fewer" in result.stderr) is warned


def test_report_with_and_without_images_to_explain(folder, fitted, tmp_path):
    out = tmp_path / "report.html"
    assert run("report", fitted[0], "--out", out, "--title", "A <title>").exit_code == 0
    html = out.read_text()
    assert "A &lt;title&gt;" in html
    assert "Single images" not in html
    explained = ["--explain", folder / "images" / "2.png", "--model", folder / "model"]
    assert run("report", fitted[0], "--out", out, *explained).exit_code == 0
    assert "one blue <mark>dog</mark>" in out.read_text()


def test_explain_prints_text_or_json(folder, fitted):
    model = ["--model", folder / "model"]
    result = run("explain", fitted[0], folder / "images" / "0.png", *model)
    assert result.stdout.startswith("a red [dog]\n  100%  concept ")
    result = run("explain", fitted[0], folder / "images" / "0.png", "--json", *model)
    assert json.loads(result.stdout)["caption"] == "a red dog"


def test_what_a_model_says_does_not_command_the_terminal(folder, fitted, tmp_path, monkeypatch):
    dictionary = ConceptDictionary.from_pretrained(fitted[0])
    dictionary.words = [[Word("\x1b]0;owned\x07dog", 1.0)] for _ in range(3)]
    saved = dictionary.save_pretrained(tmp_path / "d")
    explain = ConceptDictionary.explain

    def explained(*arguments, **options):
        found = explain(*arguments, **options)
        return dataclasses.replace(found, caption=found.caption + "\x1b[2J")

    monkeypatch.setattr(ConceptDictionary, "explain", explained)
    arguments = ["explain", saved, folder / "images" / "0.png", "--model", folder / "model"]
    printed = run(*arguments).stdout
    assert printed.startswith(r"a red [dog]\u001b[2J")
    assert r"\u001b]0;owned\u0007dog" in printed
    assert "\x1b" not in printed
    assert json.loads(run(*arguments, "--json").stdout)["caption"] == "a red dog\x1b[2J"
    measuring = ["--images", folder / "images", "--n-images", 1, "--n-random", 19, "--model", folder / "model"]
    printed = run("effects", saved, *measuring).stdout
    assert printed.count(r"\u001b]0;owned\u0007dog") == 3
    assert "\x1b" not in printed


def test_effects_of_a_dictionary_of_the_hub_need_a_place(folder, fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(fitted[0]))
    monkeypatch.chdir(tmp_path)
    arguments = ["effects", "me/dogs", "--images", folder / "images", "--n-images", 1, "--n-random", 19]
    arguments += ["--model", folder / "model"]
    with monkeypatch.context() as patch:
        patch.setattr(LMM, "from_pretrained", lambda *_, **__: pytest.fail("the model is loaded"))
        message = failure(run(*arguments))
    assert "'me/dogs' is a repository of the hub, which is not written to: say where to, with --out" in message
    assert not list(tmp_path.iterdir())
    result = run(*arguments, "--out", "measured")
    assert result.exit_code == 0, result.output
    assert ConceptDictionary.from_pretrained("measured").effects
    assert [p.name for p in tmp_path.iterdir()] == ["measured"]


def test_fit_finds_where_concepts_are_in_images_that_differ(extracted, tmp_path, monkeypatch):
    arguments = ["fit", extracted[0], "--n-concepts", 3, "--l1", 0.01, "--out", tmp_path / "d"]
    assert run(*arguments).exit_code == 0
    plain = ConceptDictionary.from_pretrained(tmp_path / "d")
    assert all(hit.heat is None for hits in plain.images for hit in hits)
    asked = []
    monkeypatch.setattr(
        "coxlmm.dictionary.illustrate", lambda *a, **o: asked.append(o["diverse"]) or illustrate(*a, **o)
    )
    assert run(*arguments, "--heat-maps", "states", "--diverse").exit_code == 0
    located = ConceptDictionary.from_pretrained(tmp_path / "d")
    assert all(hit.heat.shape == (2, 2) for hits in located.images for hit in hits)
    assert asked == [True]

    def no_grid(*arguments):
        raise UnsupportedModelError("no grid")

    monkeypatch.setattr("coxlmm.localisation.maps.grid_of", no_grid)
    assert "error: no grid" in failure(run(*arguments, "--heat-maps", "states"))
    result = run(*arguments, "--heat-maps", "auto")
    assert result.exit_code == 0
    assert "there are no heat maps: no grid" in result.stderr


def test_explain_writes_a_page_with_heat_maps(folder, fitted, tmp_path):
    image = tmp_path / "<i>.png"
    shutil.copy(folder / "images" / "0.png", image)
    arguments = ["explain", fitted[0], image, "--model", folder / "model", "--out", tmp_path / "page.html"]
    assert "explanation: " in run(*arguments).stderr
    page = (tmp_path / "page.html").read_text()
    assert "<title>&lt;i&gt;.png</title>" in page
    assert "default-src &#39;none&#39;; script-src &#39;none&#39;; " in page
    assert "a red <mark>dog</mark>" in page
    assert page.count("data:image/png;base64,") == 1  # one concept is active, and has a map
    assert run(*arguments, "--heat-maps", "none").exit_code == 0
    assert "data:image/png;base64," not in (tmp_path / "page.html").read_text()
    document = json.loads(run(*arguments[:-2], "--json", "--heat-maps", "occlusion").stdout)
    assert document["heat_method"] == "occlusion"
    assert len(document["concepts"][0]["heat"]) == 8


def failure(result):
    """The one line that a command printed when it failed."""
    assert result.exit_code == 1
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert line.endswith(" (coxlmm --debug ... shows where)")
    assert "Traceback" not in result.output
    return line


def test_errors_are_one_line(folder, fitted, extracted, tmp_path):
    assert "no concept dictionary at" in failure(run("report", tmp_path))
    assert "no states at" in failure(run("fit", tmp_path, "--out", tmp_path / "d"))
    to = ["--word", "dog", "--out"]
    assert "there is no directory" in failure(run("extract", "m", tmp_path / "x", *to, tmp_path / "s"))
    assert "there are no images" in failure(run("extract", "m", tmp_path, *to, tmp_path / "s"))
    assert "refusing to replace" in failure(run("extract", "m", tmp_path, *to, folder))
    other = ["explain", fitted[0], folder / "images/more/6.png", "--model", folder / "model"]
    assert "does not contain the word 'dog'" in failure(run(*other))
    assert "there is no image" in failure(run("explain", fitted[0], tmp_path / "0.png"))
    few = ["fit", extracted[0], "--out", tmp_path / "d"]
    assert "7" in failure(run(*few, "--n-concepts", 7))
    arguments = ["extract", folder / "model", folder / "images", "--word", "zebra", "--out", tmp_path / "s"]
    assert "dog (6)" in failure(run(*arguments))
    assert "layer 9 is out of range" in failure(run(*arguments, "--layer", 9))


def test_debug_shows_where_an_error_comes_from(tmp_path):
    result = run("--debug", "report", tmp_path)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "shows where" not in result.stderr
    assert "serialization/directory.py" in result.stderr


@pytest.mark.parametrize("kind", [AttributeError, KeyError, IndexError, TypeError, RuntimeError])
def test_a_mistake_of_the_program_is_not_hidden(monkeypatch, fitted, kind):
    def broken(*_, **__):
        raise kind("a mistake")

    monkeypatch.setattr(ConceptDictionary, "report", broken)
    assert type(run("report", fitted[0]).exception) is kind


def test_demo_hands_its_options_to_the_pipeline(monkeypatch, tmp_path):
    import inspect

    from coxlmm.demo import pipeline

    calls = []
    signature = inspect.signature(pipeline.run)
    monkeypatch.setattr(pipeline, "run", lambda *a, **k: calls.append(signature.bind(*a, **k).arguments))
    arguments = ["--out", tmp_path, "--word", "cat", "--n-scenes", 5, "--n-concepts", 2, "--l1", 0.5, "--seed", 3]
    assert run("demo", *arguments, "--batch-size", 4).exit_code == 0
    expected = {"word": "cat", "n_scenes": 5, "n_concepts": 2, "l1": 0.5, "seed": 3, "batch_size": 4}
    assert calls == [{"out": tmp_path, **expected}]


def test_help_fits_one_screen_and_loads_nothing_slow():
    code = (
        "import sys\nfrom coxlmm.cli import app\ntry:\n    app(['--help'], prog_name='coxlmm')\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'sklearn', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**environment(), "COLUMNS": "80"}
    )
    *screen, modules = result.stdout.rstrip().splitlines()
    assert modules == "[]"
    assert len(screen) <= 40
    assert max(map(len, screen)) <= 80
    for command in ("demo", "extract", "fit", "report", "explain"):
        assert any(line.strip().startswith(command) for line in screen)
        assert any(f"coxlmm {command}" in line for line in screen)


def test_a_real_process_reports_and_fails(fitted, tmp_path):
    command = [sys.executable, "-c", PROGRAM, "report"]
    done = subprocess.run([*command, fitted[0], "--out", tmp_path / "r.html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    failed = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: no concept dictionary at")
    assert len(failed.stderr.splitlines()) == 1


def test_version():
    assert run("--version").stdout.strip().count(".") == 2


def environment():
    import os

    return dict(os.environ)
