"""Figures of concepts: what they show, what they refuse, and what they leave alone."""

import io
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from concepts.world import noise_image
from PIL import Image

from coxlmm import ConceptDictionary, SemiNMF
from coxlmm.grounding import Word, thumbnail

HOSTILE = r"$\frac{1}{0$ </text><script>alert(1)</script> \\input{/etc/passwd}"


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def images(figure):
    return figure.axes[0].images


def panels(figure):
    """Concept -> its words, as they stand beneath each other."""
    found = {}
    for text in texts(figure):
        if text.startswith("Concept "):
            found[int(text.removeprefix("Concept "))] = lines = []
        else:
            lines.append(text)
    return {k: " ".join(lines) for k, lines in found.items()}


def overlap(first, second):
    return not (
        first[1] <= second[0] + 1e-9 or second[1] <= first[0] + 1e-9
        or first[3] <= second[2] + 1e-9 or second[3] <= first[2] + 1e-9
    )  # fmt: skip


def test_every_concept_has_a_panel_with_its_words_and_images(dictionary):
    figure = dictionary.plot(n_images=3, n_words=2)
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    assert panels(figure) == {c.index: f"{c.words[0].text}, {c.words[1].text}" for c in ranked}
    assert list(panels(figure)) == [c.index for c in ranked]
    shown = [image.get_array() for image in images(figure)]
    hits = [hit for c in ranked for hit in c.images[:3]]
    assert len(shown) == len(hits) == 12
    for array, hit in zip(shown, hits, strict=True):
        np.testing.assert_array_equal(array, np.asarray(Image.open(io.BytesIO(hit.thumbnail)).convert("RGB")))


def test_chosen_concepts_come_in_the_order_of_the_choice(dictionary):
    assert list(panels(dictionary.plot(concepts=[2, 0]))) == [2, 0]


def test_nothing_overlaps_or_leaves_the_figure(dictionary):
    dictionary.words = [[Word(f"word{k}-{i}", 1.0) for i in range(40)] for k in range(4)]
    figure = dictionary.plot(n_words=40)
    width, height = figure.get_size_inches()
    boxes = [image.get_extent() for image in images(figure)]
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        boxes.append([value / figure.dpi for value in (box.x0, box.x1, box.y0, box.y1)])
    assert len(boxes) > 4 * 7
    for i, box in enumerate(boxes):
        assert box[0] >= 0
        assert box[1] <= width
        assert box[2] >= 0
        assert box[3] <= height
        assert not [other for other in boxes[:i] if overlap(box, other)]
    assert all(words.endswith("…") for words in panels(figure).values())


def test_images_keep_their_proportions(dictionary):
    wide = thumbnail(noise_image(0).resize((160, 40)))
    object.__setattr__(dictionary.images[0][0], "thumbnail", wide)
    x0, x1, y0, y1 = images(dictionary.plot(concepts=[0]))[0].get_extent()
    assert (x1 - x0) / (y1 - y0) == pytest.approx(4)


def test_images_stand_upright(dictionary, tmp_path):
    half = np.zeros((100, 100, 3), dtype=np.uint8)
    half[:50, :, 0] = half[50:, :, 2] = 255  # red above blue
    object.__setattr__(dictionary.images[0][0], "thumbnail", thumbnail(Image.fromarray(half)))
    dictionary.plot(concepts=[0], n_images=1, path=tmp_path / "a.png")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    rows = [np.flatnonzero((drawn[..., own] > 200).any(axis=1) & (drawn[..., other] < 60).any(axis=1)) for own, other
            in ((0, 2), (2, 0))]  # fmt: skip
    assert rows[0].mean() < rows[1].mean()


def test_heat_lies_over_the_image_it_is_of(dictionary):
    heat = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    object.__setattr__(dictionary.images[1][1], "heat", heat)
    assert len(images(dictionary.plot(concepts=[1], n_images=3))) == 3
    shown = images(dictionary.plot(concepts=[1], n_images=3, heat=True))
    assert len(shown) == 4
    np.testing.assert_array_equal(shown[2].get_array(), heat)
    assert shown[2].get_extent() == shown[1].get_extent()
    assert 0 < shown[2].get_alpha() < 1


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
def test_the_name_says_the_format_and_the_bytes_are_the_same_every_time(dictionary, tmp_path, name, start):
    dictionary.plot(concepts=[0], n_images=1, path=tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(start)
    dictionary.plot(concepts=[0], n_images=1, path=tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes() == data


def test_a_picture_has_the_resolution_of_print(dictionary, tmp_path):
    dictionary.plot(path=tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width == 1400  # 7 inches


@pytest.mark.parametrize("usetex", [False, True])
def test_foreign_text_is_text(dictionary, tmp_path, usetex):
    dictionary.words[0] = [Word(HOSTILE, 2.0), Word("two\nlines\0", 1.0), Word("\udce9$a$", 0.5)]
    with matplotlib.rc_context({"text.usetex": usetex}):
        dictionary.plot(concepts=[0], n_images=0, path=tmp_path / "a.png")
        dictionary.plot(concepts=[0], n_images=0, path=tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert not root.findall(".//{*}script")
    said = " ".join(element.text for element in root.findall(".//{*}text"))
    assert said == f"Concept 0 {HOSTILE}, two lines, ?$a$"


def test_words_of_other_scripts_are_drawn_or_what_is_missing_is_said(dictionary, tmp_path):
    nowhere = "\U00012345"  # cuneiform
    dictionary.words[0] = [Word("犬", 1.0), Word(nowhere, 0.5)]
    with pytest.warns(UserWarning, match=f"no font that is installed has .*{nowhere}.* boxes in .*a.png: ") as caught:
        dictionary.plot(concepts=[0], n_images=0, path=tmp_path / "a.png")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dictionary.plot(concepts=[0], n_images=0, path=tmp_path / "a.svg")
    assert f"犬, {nowhere}" in (tmp_path / "a.svg").read_text()


def test_settings_of_the_reader_neither_change_nor_count(dictionary, tmp_path):
    dictionary.plot(concepts=[0], n_images=2, path=tmp_path / "a.png")
    own = {"image.origin": "lower", "figure.autolayout": True, "savefig.dpi": 30, "savefig.bbox": "tight",
           "font.size": 30, "image.interpolation": "nearest"}  # fmt: skip
    with matplotlib.rc_context(own):
        before = dict(matplotlib.rcParams)
        dictionary.plot(concepts=[0], n_images=2, path=tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_pyplot_is_not_needed(dictionary, tmp_path):
    saved = dictionary.save_pretrained(tmp_path / "saved")
    code = (
        f"import sys; from coxlmm import ConceptDictionary as D; D.from_pretrained({str(saved)!r}).plot(concepts=[0], "
        f"path={str(tmp_path / 'a.pdf')!r}); print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_without_images_there_are_words(dictionary):
    dictionary.images = []
    figure = dictionary.plot()
    assert len(panels(figure)) == 4
    assert not images(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concepts": [4]}, r"concepts must be some of 0 to 3, got \[4\]"),
        ({"concepts": [-1]}, r"concepts must be some of 0 to 3, got \[-1\]"),
        ({"concepts": []}, r"concepts must be some of 0 to 3, got \[\]"),
        ({"n_images": -1}, "n_images must be at least 0 and n_words at least 1, got -1 and 5"),
        ({"n_words": 0}, "got 5 and 0"),
        ({"path": "a.jpg"}, "must end in .png, .svg, .pdf, which say its format; got 'a.jpg'"),
        ({"path": "figure"}, "got 'figure'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(dictionary, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        dictionary.plot(**options)
    assert not list(tmp_path.iterdir())


def test_before_grounding_there_is_nothing_to_draw(states):
    with pytest.raises(ValueError, match="not grounded yet: call ground"):
        ConceptDictionary.fit(states, SemiNMF(2, random_state=0)).plot()


def test_without_matplotlib_it_says_how_to_install_it(dictionary, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "coxlmm\[plots\]"'):
        dictionary.plot()
