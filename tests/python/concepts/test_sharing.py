"""The commands for a dictionary that is finished. ``coxlmm push`` is tested with the hub."""

import json

import pytest
from typer.testing import CliRunner

from coxlmm import ConceptDictionary, SemiNMF
from coxlmm.cli import app
from coxlmm.grounding import Word


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def two(dictionary, states, tmp_path):
    """A dictionary with words, and one that has fewer concepts, no words, and another layer."""
    states.manifest["layer"] = 1
    other = ConceptDictionary.fit(states, SemiNMF(3, l1=0.5, random_state=1))
    return dictionary.save_pretrained(tmp_path / "a"), other.save_pretrained(tmp_path / "b")


def test_compare_pairs_concepts_most_similar_first(two):
    first, second = (ConceptDictionary.from_pretrained(path) for path in two)
    matching = first.match(second)
    lines = run("compare", *two, "--n-words", 2).splitlines()
    assert lines[0] == f"mean correlation of activations over 60 shared samples: {matching.mean:.3f}, of 3 pairs"
    values = [float(line.split()[0]) for line in lines[1:7:2]]
    assert values == sorted(values, reverse=True)
    assert values == pytest.approx(sorted(matching.similarities, reverse=True), abs=6e-4)
    pairs = [[int(line.split("A" if i == 0 else "B")[1].split()[0]) for i, line in enumerate(lines[p : p + 2])]
             for p in (1, 3, 5)]  # fmt: skip
    assert sorted(pairs) == matching.pairs.tolist()
    assert lines[1].endswith(", ".join(word.text for word in first.words[pairs[0][0]][:2]))
    (alone,) = matching.unmatched[0]
    assert [line.split()[:3] for line in lines[7:]] == [["-", "A", str(alone)]]


def test_compare_speaks_json(two):
    first, second = (ConceptDictionary.from_pretrained(path) for path in two)
    found = json.loads(run("compare", *two, "--vectors", "--json", "--n-words", 1))
    matching = first.match(second, codes=False)
    assert found["measure"] == "cosine"
    assert found["mean"] == pytest.approx(matching.mean)
    assert [[pair["a"], pair["b"]] for pair in found["pairs"]] == matching.pairs.tolist()
    assert [pair["similarity"] for pair in found["pairs"]] == pytest.approx(matching.similarities)
    assert found["words"] == {"a": [[words[0].text] for words in first.words], "b": [[], [], []]}
    assert found["unmatched"] == {"a": matching.unmatched[0], "b": []}


def test_words_do_not_command_the_terminal(two, dictionary, tmp_path):
    """An escape sequence that renames the window; its form of one byte; one that turns text around."""
    hostile = "\x1b]0;owned\x07hen\x9b2J\u202eneh\udce9"
    dictionary.words[0][0] = Word(hostile, 9.0)
    saved = dictionary.save_pretrained(tmp_path / "hostile")
    printed = run("compare", saved, two[1])
    assert r"\u001b]0;owned\u0007hen\u009b2J\u202eneh\udce9" in printed
    assert all(c.isprintable() or c == "\n" for c in printed)
    printed = run("compare", saved, two[1], "--json", "--n-words", 1)
    assert all(c.isprintable() or c == "\n" for c in printed)
    assert json.loads(printed)["words"]["a"][0] == [hostile]


def test_warnings_and_errors_do_not_either(two):
    config = two[0] / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"\x1b[2Jnew": 1, "version": "2.9"}))
    result = CliRunner().invoke(app, ["compare", *map(str, two)])
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: the concept dictionary at ")
    assert result.stderr.count("\n") == 1
    assert r"leaves out: \u001b[2Jnew" in result.stderr
    config.write_text(json.dumps(values | {"estimator": {"class": "\x1b[2J"}}))
    for debug in ([], ["--debug"]):
        result = CliRunner().invoke(app, [*debug, "compare", *map(str, two)])
        assert result.exit_code == 1
        assert r"\u001b[2J" in result.stderr.replace(r"\x1b", r"\u001b")
        assert "\x1b" not in result.stderr


@pytest.mark.parametrize("name", ["./runs/typo", "../runs/typo", "~/runs/typo", "{here}/runs/typo"])
def test_a_path_is_not_looked_up_on_the_hub(tmp_path, monkeypatch, name):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **_: asked.append(a) or str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "a.png").touch()
    name = name.format(here=tmp_path)
    commands = [
        ["explain", name, "a.png"], ["intervene", name, "a.png", "--concept", "0"], ["effects", name],
        ["evaluate", name, "--states", "s", "--images", "i"], ["report", name], ["plot", name], ["compare", name, name],
        ["push", name, "me/dogs"],
    ]  # fmt: skip
    for command in commands:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: no concept dictionary at ")
        assert "runs/typo: there is no such directory" in result.stderr
    assert not asked


def test_plot_writes_the_figure_that_was_asked_for(two, tmp_path):
    run("plot", two[0], "--concept", 2, "--concept", 1, "--n-images", 1, "--n-words", 1, "--out", tmp_path / "one.svg")
    text = (tmp_path / "one.svg").read_text()
    first, second = text.index("Concept 2"), text.index("Concept 1")
    assert first < text.index(">hen0<") < second < text.index(">owl0<")
    assert text.count("<image") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "{a}", "--out", "{a}.gif"], "error: a figure's name must end in .png, .svg, .pdf"),
        (["plot", "{b}"], "error: the dictionary is not grounded yet"),
        (["compare", "{a}", "{a}/none"], "error: no concept dictionary at"),
    ],
)
def test_what_does_not_work_is_said_in_a_line(two, arguments, message):
    result = CliRunner().invoke(app, [a.format(a=two[0], b=two[1]) for a in arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
