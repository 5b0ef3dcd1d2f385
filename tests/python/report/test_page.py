"""The page: what is in it, that it is valid, and that no caption can make it do anything."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from concepts.world import ANIMALS, noise_image
from PIL import Image

from coxlmm import ConceptDictionary, SemiNMF, States
from coxlmm.estimators import Whitened
from coxlmm.grounding import Word, ground_images, thumbnail
from coxlmm.report import explanation_html, report_html, write_explanation, write_report
from coxlmm.report.histogram import HEIGHT, WIDTH, Histogram
from coxlmm.report.numbers import percent
from coxlmm.report.pictures import heat_uri
from coxlmm.report.reading import reading_of

HOSTILE = [
    "a dog</title></style><script>alert(1)</script>",
    "<img src=x onerror=alert(1)> dog",
    '" onmouseover="alert(1)" dog \'',
    "dog <a href='javascript:alert(1)'>{{ 7 * 7 }}{% raw %}</a>",
    "dog \ud800 <!-- ]]> \x00 &lt;b&gt;",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, its text, and that they are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.raw = {"script": [], "style": []}
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in self.raw:
            self.raw[self._open[-1]].append(data)
        else:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    @property
    def data(self):
        """What the script is given."""
        return json.loads(self.raw["script"][0])

    @property
    def pictures(self):
        """The data of every picture, by the class that shows it."""
        return dict(re.findall(r"^\.(p\d+)\{background-image:url\((.*?)\)", self.raw["style"][1], re.MULTILINE))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(dictionary):
    dictionary.manifest["decoding"] = "greedy"
    return Page(report_html(dictionary))


@pytest.fixture
def hostile(dictionary):
    dictionary.captions = [HOSTILE[i % len(HOSTILE)] for i in range(dictionary.n_samples)]
    dictionary.sample_ids = [f"{i}{HOSTILE[i % len(HOSTILE)]}" for i in range(dictionary.n_samples)]
    dictionary.words = [[Word(text, 1.0) for text in HOSTILE] for _ in range(dictionary.n_concepts)]
    dictionary.manifest |= {"word": "dog", "model_id": HOSTILE[0], "prompt": HOSTILE[1]}
    images = [noise_image(1, 8), None]
    dictionary.images = ground_images(
        dictionary.codes, dictionary.sample_ids, dictionary.captions, 8, lambda name: images[len(name) % 2]
    )
    return dictionary


def test_every_concept_has_its_words_images_and_figures(dictionary, page):
    assert "What the model represents where it says “dog”" in page.text
    assert "owner/model" in page.text
    assert "2, the last of 3" in page.text
    assert f"Not explained{dictionary.relative_error:.1%}" in page.text
    shown = {
        page.pictures[name] for a in page.all("span") for name in a.get("class", "").split() if name in page.pictures
    }
    for concept in dictionary.concepts:
        assert f"active in {concept.n_active} of 60 samples" in page.text
        for word in concept.words:
            assert f"{word.text}{word.score:.2f}" in page.text
        for hit in concept.images:
            assert "data:image/webp;base64," + base64.b64encode(hit.thumbnail).decode() in shown
            assert f"{hit.activation:.{1 if hit.activation >= 10 else 2}f}{hit.caption}" in page.text
            assert hit.caption in page.text
    assert all(np.asarray(picture(src)).shape == (40, 40, 3) for src in shown)


def picture(src):
    return Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).convert("RGB")


def test_concepts_come_by_their_share(dictionary, page):
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    cards = [a["id"] for a in page.all("article")]
    assert cards == [f"concept-{c.index}" for c in ranked]
    links = [a["href"] for a in page.all("a") if a["href"].startswith("#concept-")]
    assert links == 2 * [f"#{card}" for card in cards]  # at a glance, and each card's own


def test_the_word_is_marked_in_captions(dictionary):
    dictionary.images = [hits[:1] for hits in dictionary.images]
    html = report_html(dictionary)
    assert html.count("a <mark>dog</mark> and ") == 4
    dictionary.manifest["word"] = "absent"
    assert "<mark>" not in report_html(dictionary)


def test_it_is_accessible(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= set(ids)
    named = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(named) > page.text.count("activation")
    assert all(a["aria-label"] for a in named)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("main")) == 1


def test_nothing_that_came_from_outside_is_markup(hostile, dog_dictionary, lmm, speaker, tmp_path):
    path = write_report(hostile, tmp_path / "r.html", title=HOSTILE[0])
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert page.all("script") == [{"type": "application/json", "id": "data"}, {}]
    assert not {"iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    for text in HOSTILE[:4]:
        assert " ".join(text.split()) in page.text
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.raw["script"][1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest}'; img-src data:; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = {hit.sample_id for hits in hostile.images for hit in hits}
    named = [name.encode("utf-8", "replace").decode() for name in hostile.sample_ids if name in shown]
    assert [sample[0] for sample in page.data["samples"]] == named


@pytest.mark.parametrize("span", [(29, 32), (0, 28), (0, 0)])
def test_an_explanation_in_a_notebook_is_escaped_too(dog_dictionary, lmm, speaker, span):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    for active in explanation.concepts:
        active.concept.words[:] = [Word(HOSTILE[0], 1.0)]
    page = Page(explanation_html(replace(explanation, caption=HOSTILE[1], span=span)))
    assert not page.all("script")
    assert page.all("img")
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert HOSTILE[1] in page.text
    assert len(page.all("mark")) == (span[1] > span[0])


def test_explanations_link_to_their_concepts(dog_dictionary, lmm, speaker, tmp_path):
    explanation = dog_dictionary.explain(lmm, speaker.images[2])
    page = Page(dog_dictionary.report(tmp_path / "r.html", explanations=[explanation]).read_text())
    assert "Single images" in page.text
    assert "one blue dog" in page.text
    links = [a["href"] for a in page.all("a")]
    top = explanation.concepts[0].concept.index
    assert links.count(f"#concept-{top}") == 3  # at a glance, the card's own, and here


def test_twenty_concepts_stay_under_10_mb():
    rng = np.random.default_rng(0)
    n = 200
    X, names = rng.standard_normal((n, 30)), [str(i) for i in range(n)]
    states = States(X, names, ["a dog"] * n, np.ones(n), {"word": "dog"})
    dictionary = ConceptDictionary.fit(states, SemiNMF(20, l1=0.1, random_state=0))
    dictionary.words = [[Word(animal, 1.0) for animal in ANIMALS]] * 20
    dictionary.images = ground_images(
        dictionary.codes, states.sample_ids, states.captions, 8, lambda name: noise_image(int(name), 300)
    )
    assert len(report_html(dictionary).encode()) < 10_000_000


def test_it_is_written_whole_or_not_at_all(dictionary, tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.html"
    assert dictionary.report(path) == path
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("coxlmm.atomic.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        dictionary.report(path, title="another")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_the_page_of_an_explanation_is_written_whole_or_not_at_all(dog_dictionary, lmm, speaker, tmp_path, monkeypatch):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    path = tmp_path / "new" / "page.html"
    assert write_explanation(explanation, path, title="dog \ud800.png") == path
    before = path.read_text(encoding="utf-8")
    assert "<title>dog ?.png</title>" in before
    assert "a red <mark>dog</mark>" in before

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("coxlmm.atomic.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_explanation(explanation, path, title="another")
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_dictionary_without_meaning_has_no_report(states, tmp_path):
    with pytest.raises(ValueError, match="not grounded yet: call ground"):
        ConceptDictionary.fit(states, SemiNMF(2, random_state=0)).report(tmp_path / "r.html")


def test_the_folders_of_a_machine_are_not_shown(dictionary):
    dictionary.manifest["model_id"] = "/home/someone/secret/my-model"
    html = report_html(dictionary)
    assert "my-model" in html
    assert "someone" not in html


def test_histogram_bars_are_the_counts():
    activations = np.array([0.0] * 50 + [0.1] * 8 + [5.0] * 2 + [10.0] * 4)
    histogram = Histogram.of(activations)
    assert (histogram.n_active, histogram.n_samples, histogram.largest) == (14, 64, 10.0)
    assert histogram.median == pytest.approx(0.1)
    heights = [round(8 * bar.height / HEIGHT) for bar in histogram.bars]
    assert heights == [8, 2, 4]
    assert [round(bar.x / WIDTH, 2) for bar in histogram.bars] == [0.0, 0.5, 0.97]
    assert all(bar.y + bar.height == pytest.approx(HEIGHT) for bar in histogram.bars)
    assert "14 of 64" in histogram.description
    assert Histogram.of(np.zeros(3)).bars == []


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (0.0004, "<0.1%"),
        (0.0341, "3.4%"),
        (0.0996, "10%"),
        (0.42, "42%"),
        (-0.02, "−2.0%"),
        (-0.0004, "−<0.1%"),
    ],
)
def test_shares_are_read_as_percents(share, text):
    assert percent(share) == text


def test_how_the_mean_and_signs_are_read(dictionary):
    assert "never negative" in reading_of(dictionary).concept
    dictionary.estimator.mean_ = np.ones(12)
    read = reading_of(dictionary)
    assert read.lead == "the mean of all such states and a mixture of concepts"
    assert "the mean state plus a sum of concepts with activations that are never negative" in read.concept
    assert not read.signed
    dictionary.codes = dictionary.codes - 1
    read = reading_of(dictionary)
    assert "either sign" in read.concept
    assert read.signed


def test_what_words_are_is_said_as_they_were_chosen(dictionary):
    assert "The score is the logit." in report_html(dictionary)
    dictionary.manifest["grounding"] = {"n_words": 10, "contrast": "shared"}
    assert "Words that come first in more than half of the concepts are left out." in report_html(dictionary)
    dictionary.manifest["grounding"]["contrast"] = "mean"
    assert "less that of the mean concept" in report_html(dictionary)
    dictionary.estimator.mean_ = np.ones(12)
    html = report_html(dictionary)
    assert "added to the mean state, raises the logit" in html
    assert "more than half" not in html


def test_words_that_cannot_be_trusted_are_warned_of(dictionary):
    grounding = dictionary.manifest["grounding"] = {"n_words": 10, "contrast": "none", "rank_of_word": 10}
    assert "not to be trusted" not in report_html(dictionary)
    grounding["rank_of_word"] = 1234
    assert "does not decode to “dog”, which it predicts (it is word 1,234, or later)" in report_html(dictionary)


def test_an_estimator_in_an_estimator_is_named_with_it(dictionary, states):
    dictionary.estimator = Whitened(SemiNMF(4, l1=0.25, random_state=0), random_state=0).fit(states.X)
    assert "Whitened SemiNMF, l1 = 0.25" in Page(report_html(dictionary)).text


def test_an_explanation_shows_where_each_concept_is_and_what_it_is_of_the_whole(dog_dictionary, lmm, speaker):
    explanation = dog_dictionary.explain(lmm, speaker.images[0])
    heat = np.random.default_rng(0).random((3, 3), dtype=np.float32)
    mapped = replace(
        explanation,
        concepts=[replace(a, heat=heat, share_of_reconstruction=-0.125) for a in explanation.concepts],
        heat_method="states",
        share_of_mean=0.25,
    )
    n = len(mapped.concepts)
    for html in (explanation_html(mapped), report_html(dog_dictionary, explanations=[mapped])):
        assert html.count(heat_uri(heat, 8)) == n
        assert html.count("−12% of the reconstruction") == n
        assert "The mean of all states is 25% of the reconstruction." in html
        assert "no heat maps" not in html
    without = replace(
        explanation,
        concepts=[replace(a, heat=None) for a in explanation.concepts],
        heat_method=None,
        without_heat="it has <no> grid",
        share_of_mean=None,
    )
    for html in (explanation_html(without), report_html(dog_dictionary, explanations=[without])):
        assert "There are no heat maps: it has &lt;no&gt; grid." in html
        assert "mean of all states" not in html
        assert 'class="where' not in html


def test_the_pictures_of_an_explanation_are_in_the_page_once_too(dog_dictionary, lmm, speaker):
    explanation = replace(dog_dictionary.explain(lmm, speaker.images[0]), thumbnail=thumbnail(noise_image(9, 40)))
    html = report_html(dog_dictionary, explanations=[explanation, explanation])
    assert html.count(base64.b64encode(explanation.thumbnail).decode()) == 1
    page = Page(html)
    used = {name for _, a in page.elements for name in a.get("class", "").split() if re.fullmatch(r"p\d+", name)}
    assert used <= page.pictures.keys()
