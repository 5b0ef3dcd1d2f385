"""Which words a model says, on captions that are known and through a model whose captions are."""

import json
import subprocess
import sys
import tracemalloc

import pytest
from extraction.speaking import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import image
from typer.testing import CliRunner

from coxlmm import Vocabulary
from coxlmm.cli import app
from coxlmm.images import UnreadableImageError
from coxlmm.words import WordMatcher, fold

CAPTIONS = [
    ("Two dogs and a Dog", ["a dog", "puppies"]),
    ("a dog and a cat", ["two cats"]),
    ("the cat sat", None),
    ("Mice", ["a mouse"]),
]


def rows(captions, **options):
    return [tuple(row) for row in Vocabulary.of(captions, **options).rows]


def test_words_by_the_captions_and_references_that_have_them():
    assert rows(CAPTIONS) == [
        # A word counts once a caption; "a" is too short.
        ("and", 2, 0), ("cat", 2, 0), ("dog", 2, 1), ("Mice", 1, 0), ("Two", 1, 0), ("dogs", 1, 0), ("sat", 1, 0),
        ("the", 1, 0),
    ]  # fmt: skip
    assert rows([(caption, None) for caption, _ in CAPTIONS])[1] == ("cat", 2, None)


def test_inflections_are_one_word():
    assert rows(CAPTIONS, inflections="en", stop_words="english") == [
        ("cat", 2, 1), ("dog", 2, 1), ("Mouse", 1, 1), ("sit", 1, 0),
    ]  # fmt: skip
    assert rows([("Işık yanıyor", None)], stop_words=["ışık"]) == [("yanıyor", 1, None)]


def test_a_word_is_in_lower_case_where_it_ever_is():
    assert rows([("Dog", None), ("Dog", None), ("dog", None), ("Rex", None)]) == [("dog", 3, None), ("Rex", 1, None)]


def test_scripts_without_spaces():
    captions = [("一只狗在草地上", ["狗"]), ("狗熊", ["狗熊"]), ("แมวนั่งบนโซฟา", ["แมว"])]
    with_dictionary = rows(captions, segmentation="icu")
    assert {("狗", 1, 1), ("狗熊", 1, 1), ("แมว", 1, 1)} <= set(with_dictionary)
    assert ("狗", 2, 2) in rows(captions, segmentation="characters")


@settings(max_examples=60, deadline=None)
@given(
    captions=st.lists(
        st.tuples(
            st.text("abd ogs,'Éß狗熊ﬁ", max_size=12), st.none() | st.lists(st.text("abd ogs狗", max_size=8), max_size=2)
        ),
        max_size=6,
    )
)
def test_a_matcher_finds_the_captions_that_are_counted(captions):
    found = Vocabulary.of(captions)
    assert found.n_captions == len(captions)
    for word, n_captions, agree in found.rows:
        matcher = WordMatcher(word, segmentation=found.segmentation)
        having = [references for caption, references in captions if matcher.find(caption)]
        assert len(having) == n_captions
        agreeing = [r for r in having if r is not None and any(matcher.find(text) for text in r)]
        assert agree == (None if all(r is None for _, r in captions) else len(agreeing))
    assert len({fold(row.word) for row in found.rows}) == len(found.rows)


def test_a_stream_of_captions_is_not_held():
    def peak(n):
        tracemalloc.start()
        Vocabulary.of((f"a dog number {'abcdefghij'[i % 10] * 3} {i}", [f"{i} cats"]) for i in range(n))
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    peak(400)  # fills the caches of what was matched last
    assert abs(peak(8000) - peak(400)) < 200_000  # where each has 300 or so


def test_it_reads_well():
    found = Vocabulary.of(CAPTIONS, unreadable=[{"id": "a<b>.jpg", "reason": "it is empty"}])
    lines = str(found).splitlines()
    assert lines[0] == "8 words in 4 captions; 1 images not readable, the first is a<b>.jpg: it is empty"
    assert lines[1].split() == ["word", "captions", "references", "agree"]
    assert lines[4].split() == ["dog", "2", "1"]
    assert len({len(line) for line in lines[1:]}) == 1
    page = found._repr_html_()
    assert "a&lt;b&gt;.jpg" in page
    assert "<td>dog</td><td>2</td><td>1</td>" in page
    assert "references" not in str(Vocabulary.of([("a dog", None)]))
    many = Vocabulary.of([(chr(97 + i // 26) + chr(97 + i % 26), None) for i in range(50)])
    assert "and 20 more" in str(many)
    assert len(json.loads(json.dumps(found.to_dict()))["rows"]) == 8
    lines = str(Vocabulary.of([("狗 dog", None)], segmentation="characters")).splitlines()[2:]
    assert lines == ["dog         1", "狗          1"]
    assert str(Vocabulary.of([])).startswith("0 words in 0 captions")


def test_misuse_is_named():
    with pytest.raises(ValueError, match="got 'xx'"):
        Vocabulary.of([], inflections="xx")
    with pytest.raises(ValueError, match="got 'jieba'"):
        Vocabulary.of([], segmentation="jieba")


def test_counting_imports_no_torch():
    code = "import sys, coxlmm; coxlmm.Vocabulary.of([('a dog', None)]); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_words_of_a_model(lmm, speaker):
    references = [["a red Dog"], ["a zebra"], [], ["cats"], ["this is hot"]]
    found = lmm.vocabulary(speaker.images, references=references, batch_size=2)
    assert found.n_captions == len(SENTENCES)
    by_word = {row.word: row for row in found.rows}
    assert by_word["dog"] == ("dog", 2, 1)
    assert by_word["zebra"] == ("zebra", 1, 1)
    assert by_word["category"] == ("category", 1, 0)
    assert "cat" not in by_word
    # What it promises of a word is what extraction finds.
    assert len(lmm.extract(speaker.images, "dog")) == 2
    assert len(lmm.extract(speaker.images, "dog", references=references)) == 1


def test_an_unreadable_image_is_counted(lmm, speaker, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    reports = []
    found = lmm.vocabulary(
        [speaker.images[0], broken, speaker.images[1]], batch_size=2, progress=lambda *at: reports.append(at)
    )
    assert found.n_captions == 2
    assert [image["id"] for image in found.unreadable] == [str(broken)]
    assert reports == [(2, 3), (3, 3)]
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        lmm.vocabulary([speaker.images[0], broken], on_error="raise")
    with pytest.raises(UnreadableImageError, match="any of 1 images"):
        lmm.vocabulary([broken])
    with pytest.raises(ValueError, match="no images"):
        lmm.vocabulary([])
    with pytest.raises(ValueError, match="got 'skip'"):
        lmm.vocabulary(speaker.images, on_error="skip")


def test_images_are_read_as_they_are_needed(lmm, speaker):
    taken = []

    def images():
        for i in range(40):
            taken.append(i)
            yield speaker.images[i % len(speaker.images)]

    at_first_report = []
    found = lmm.vocabulary(images(), batch_size=4, progress=lambda done, total: at_first_report.append(len(taken)))
    assert found.n_captions == 40
    assert at_first_report[0] < 40


def test_the_command(lmm, tmp_path):
    lmm.save_pretrained(tmp_path / "model")
    (tmp_path / "images").mkdir()
    for i in range(5):
        image(100 + i).save(tmp_path / "images" / f"{i}.png")
    lines = [{"file_name": f"{i}.png", "caption": "a dog"} for i in range(5)]
    (tmp_path / "references.jsonl").write_text("\n".join(map(json.dumps, lines)))
    known = ["vocabulary", str(tmp_path / "model"), str(tmp_path / "images")]
    options = [
        "--references",
        str(tmp_path / "references.jsonl"),
        "--inflections",
        "en",
        "--stop-words",
        "english",
        "--json",
    ]
    run = CliRunner().invoke(app, [*known, *options])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert found["n_captions"] == 5
    by_word = {row["word"]: row for row in found["rows"]}
    assert by_word["dog"] == {"word": "dog", "captions": 2, "references_agree": 2}
    assert by_word["Cat"]["references_agree"] == 0
    assert "the" not in by_word
    run = CliRunner().invoke(app, [*known, "--n-images", "1"])
    assert run.exit_code == 0, run.output
    assert run.stdout.splitlines()[0] == "2 words in 1 captions"
    run = CliRunner().invoke(app, [*known, "--inflections", "english"])
    assert run.exit_code == 1
    assert "got 'english'" in run.stderr
