"""How an evaluation is shown."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from coxlmm.evaluation import Evaluation, Spread
from coxlmm.evaluation.choose import Candidate, Choice

HOSTILE = r"$\frac{x$ <i>|`y` \input{z}" + "\n# end"


@pytest.fixture
def evaluation():
    results = {
        "semi_nmf": {"clip_score": Spread.of([0.5, 0.7]), "overlap": Spread.of([0.25, 0.25])},
        "<b>|own": {"overlap": Spread.of([1 / 3, 0.5])},
        "random_words": {"clip_score": Spread.of([0.1, 0.1])},
        "references": {"clip_score": Spread.of([0.9])},
    }
    settings = {"word": "$\\frac$", "model": "owner/model", "layer": 3, "n_seeds": 2}
    return Evaluation(results, "semi_nmf", settings, {"bert_score": "no <BERT>"})


def test_a_spread_is_a_mean_and_a_sample_standard_deviation():
    spread = Spread.of(np.array([0.5, 0.7]))
    assert (spread.mean, spread.std) == pytest.approx((0.6, np.sqrt(0.02)))
    assert str(spread) == "0.600 ± 0.141"
    assert spread.to_dict() == {"mean": spread.mean, "std": spread.std, "n_seeds": 2, "values": [0.5, 0.7]}
    assert (Spread.of([0.5]).std, str(Spread.of([0.5]))) == (None, "0.500")


def test_text_has_a_row_a_method_and_says_what_is_left_out(evaluation):
    lines = str(evaluation).splitlines()
    assert lines[0].split() == ["CLIPScore", "↑", "overlap", "of"]
    (own,) = [line for line in lines if line.startswith("Semi-NMF (this dictionary)")]
    assert own.endswith("0.600 ± 0.141  0.250 ± 0.000")
    (ceiling,) = [line for line in lines if line.startswith("reference captions")]
    assert ceiling.endswith("0.900")
    assert lines[-1] == "left out: bert_score: no <BERT>"


def test_markdown_and_html_have_every_figure_once_and_escape_names(evaluation):
    table = evaluation.table("markdown").splitlines()
    assert [line.count("|") - line.count(r"\|") for line in table[:6]] == [4] * 6
    assert table[2] == "| Semi-NMF (this dictionary) | 0.600 ± 0.141 | 0.250 ± 0.000 |"

    class Cells(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.texts = [], []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)

        def handle_data(self, data):
            self.texts.append(data)

    cells = Cells()
    cells.feed(evaluation._repr_html_())
    assert "b" not in cells.tags
    assert cells.tags.count("td") == 8
    assert {"<b>|own", "0.417 ± 0.118", "left out: bert_score: no <BERT>"} <= set(cells.texts)
    with pytest.raises(ValueError, match="one of 'text', 'markdown', 'html', got 'latex'"):
        evaluation.table("latex")


def test_the_figure_has_a_panel_a_measure_and_bars_as_long_as_means(evaluation, tmp_path):
    figure = evaluation.plot(tmp_path / "figure.png")
    clip, overlap = figure.axes
    assert clip.get_title() == "CLIPScore (higher is better)"
    assert overlap.get_title() == "overlap of words (lower is better)"
    assert [bar.get_width() for bar in clip.patches] == pytest.approx([0.6, 0.1, 0.9])
    assert [bar.get_width() for bar in overlap.patches] == pytest.approx([0.25, 5 / 12])
    assert clip.get_yticklabels()[0].get_text() == "Semi-NMF (this dictionary)"
    assert len({bar.get_facecolor() for bar in clip.patches}) == 3  # the dictionary, chance, the ceiling
    with Image.open(tmp_path / "figure.png") as drawn:
        assert drawn.width > 1500
        assert np.asarray(drawn.convert("L")).std() > 10


@pytest.fixture
def choice():
    candidates = [
        Candidate(k, l1, *(Spread.of([value, value + 0.1]) for value in (0.5, 0.6, 0.4, 0.2, 2.0, 3.0)))
        for k in (2, 3) for l1 in (0.01, 0.1)
    ]  # fmt: skip
    return Choice(candidates, candidates[1], {"word": HOSTILE, "layer": 3, "n_seeds": 2}, {HOSTILE: HOSTILE})


def test_foreign_text_in_markdown_is_text(evaluation, choice):
    evaluation.results[HOSTILE] = evaluation.results["random_words"]
    evaluation.left_out[HOSTILE] = HOSTILE
    code = r"`$\frac{x$ <i>¦'y' \input{z} # end`"
    *table, blank, first, _, note = evaluation.table("markdown").splitlines()
    assert table[3].startswith("| `<b>¦own` |")
    assert table[-1].startswith(f"| {code} |")
    assert blank == ""
    assert (first, note) == ("left out: `bert_score`: `no <BERT>`", f"left out: {code}: {code}")
    assert choice.table("markdown").splitlines()[-1] == note


@pytest.mark.parametrize("usetex", [False, True])
def test_foreign_text_in_figures_is_text(evaluation, choice, tmp_path, usetex):
    evaluation.results[HOSTILE] = evaluation.results["random_words"]
    evaluation.settings["word"] = HOSTILE
    with matplotlib.rc_context({"text.usetex": usetex}):
        before = dict(matplotlib.rcParams)
        figures = [shown.plot(tmp_path / f"{i}.svg") for i, shown in enumerate((evaluation, choice))]
        for figure in figures:
            figure.savefig(tmp_path / "again.png", dpi=20)  # as the reader would
        assert dict(matplotlib.rcParams) == before
    for i in range(2):
        root = ElementTree.parse(tmp_path / f"{i}.svg").getroot()
        said = [element.text for element in root.findall(".//{*}text")]
        assert (" ".join(HOSTILE.split()) in said) is (i == 0)
        assert any(repr(HOSTILE) in text for text in said)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_figures_are_written_whole_and_alike_whatever_the_settings(evaluation, choice, tmp_path, name):
    own = {"figure.autolayout": True, "savefig.dpi": 30, "savefig.bbox": "tight", "font.size": 30,
           "axes.facecolor": "black", "text.usetex": True}  # fmt: skip
    for shown in (evaluation, choice):
        shown.plot(tmp_path / "new" / name)
        with matplotlib.rc_context(own):
            shown.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


def test_a_figure_that_cannot_be_saved_leaves_the_old_one(evaluation, choice, tmp_path, monkeypatch):
    for shown in (evaluation, choice):
        with pytest.raises(ValueError, match=r"must end in .png, .svg, .pdf, which say its format; got '.*a.jpg'"):
            shown.plot(tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.png").write_bytes(b"old")

    def half(self, file, **_):
        if isinstance(file, (str, Path)):
            Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    for shown in (evaluation, choice):
        with pytest.raises(OSError, match="no space left"):
            shown.plot(tmp_path / "a.png")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"old")]


def test_what_no_font_has_is_said_where_it_was_asked_for(evaluation, tmp_path):
    evaluation.settings["word"] = "\U00012345"  # cuneiform
    with pytest.warns(UserWarning, match="no font that is installed has \U00012345, .* boxes in .*a.png: ") as caught:
        evaluation.plot(tmp_path / "a.png")
    assert [one.filename for one in caught] == [__file__]


def test_without_matplotlib_the_error_says_what_to_install(evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "coxlmm\[plots\]"'):
        evaluation.plot()
