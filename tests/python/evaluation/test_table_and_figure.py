"""How an evaluation is shown."""

import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from coxlmm.evaluation import Evaluation, Spread


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


def test_without_matplotlib_the_error_says_what_to_install(evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "coxlmm\[plots\]"'):
        evaluation.plot()
