"""A dictionary on disk: equal when it comes back, whole or not there, and harmless to read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from coxlmm import ConceptDictionary, SemiNMF
from coxlmm.report import report_html


@pytest.fixture
def saved(dictionary, tmp_path):
    return dictionary.save_pretrained(tmp_path / "saved")


def files(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def edit(saved, change):
    config = json.loads((saved / "config.json").read_text())
    change(config)
    (saved / "config.json").write_text(json.dumps(config))


def test_what_comes_back_is_equal(states, dictionary, saved):
    loaded = ConceptDictionary.from_pretrained(saved)
    np.testing.assert_array_equal(loaded.encode(states), dictionary.encode(states))
    np.testing.assert_array_equal(loaded.codes, dictionary.codes)
    assert loaded.codes.dtype == dictionary.codes.dtype
    assert loaded.concepts == dictionary.concepts
    assert loaded.manifest == dictionary.manifest
    assert report_html(loaded) == report_html(dictionary)
    own, back = dictionary.estimator, loaded.estimator
    assert back.get_params() == own.get_params()
    assert (back.objective_, back.n_iter_, back.stop_reason_) == (own.objective_, own.n_iter_, own.stop_reason_)


def test_parameters_that_are_numbers_of_numpy_come_back(states, tmp_path):
    fitted = ConceptDictionary.fit(states, SemiNMF(np.int64(4), l1=np.float32(0.5), random_state=np.int64(0)))
    loaded = ConceptDictionary.from_pretrained(fitted.save_pretrained(tmp_path / "numpy"))
    assert loaded.estimator.get_params() == fitted.estimator.get_params()
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))


def test_saved_again_it_is_the_same_to_the_byte(saved, tmp_path):
    again = ConceptDictionary.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert files(again) == files(saved)
    assert {name.split("/")[0] for name in files(saved)} == {
        "README.md", "config.json", "dictionary.safetensors", "images"
    }  # fmt: skip


def test_names_of_files_that_are_no_text_survive(dictionary, tmp_path):
    dictionary.sample_ids[0] = os.fsdecode(b"caf\xe9.png")
    dictionary.captions[0] = '犬 \\udc80 "dog"'
    dictionary.manifest["model_id"] = os.fsdecode(b"mod\xe8le")
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "d"))
    assert os.fsencode(loaded.sample_ids[0]) == b"caf\xe9.png"
    assert loaded.captions == dictionary.captions
    assert "犬" in (tmp_path / "d" / "config.json").read_text()


def test_images_of_one_sample_id_are_not_mixed_up(dictionary, tmp_path):
    for hit, value in zip(dictionary.images[0][:3], (b"one", b"other", b"one"), strict=True):
        object.__setattr__(hit, "thumbnail", value)
        object.__setattr__(hit, "sample_id", "1.png")
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "d"))
    assert [hit.thumbnail for hit in loaded.images[0][:3]] == [b"one", b"other", b"one"]


def test_before_grounding_it_can_be_saved_too(states, tmp_path):
    fitted = ConceptDictionary.fit(states, SemiNMF(2, random_state=0))
    loaded = ConceptDictionary.from_pretrained(fitted.save_pretrained(tmp_path / "d"))
    assert loaded.words == loaded.images == []
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))


def test_what_only_the_fit_needed_is_left_behind(states, tmp_path):
    start = np.eye(2, 12)
    estimator = SemiNMF(2, init=start, callback=lambda i, objective: None, random_state=np.random.RandomState(0))
    fitted = ConceptDictionary.fit(states, estimator)
    loaded = ConceptDictionary.from_pretrained(fitted.save_pretrained(tmp_path / "d"))
    assert loaded.estimator.callback is None
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))


def test_an_interrupted_save_leaves_the_old_one(states, dictionary, saved, monkeypatch):
    before = files(saved)
    other = ConceptDictionary.fit(states, SemiNMF(2, random_state=1))

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("coxlmm.serialization._card", fail)
    with pytest.raises(OSError, match="no space left"):
        other.save_pretrained(saved)
    assert files(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]
    monkeypatch.undo()
    other.save_pretrained(saved)
    assert len(ConceptDictionary.from_pretrained(saved).components) == 2
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]


def test_a_save_that_cannot_take_its_place_puts_the_old_one_back(dictionary, saved, monkeypatch):
    before = files(saved)
    rename = os.rename

    def refuse(source, target):
        if str(target) == str(saved) and (Path(source) / "README.md").read_text() != before["README.md"].decode():
            raise PermissionError("no")
        rename(source, target)

    dictionary.manifest["prompt"] = "another"
    monkeypatch.setattr("coxlmm.atomic.os.rename", refuse)
    with pytest.raises(PermissionError):
        dictionary.save_pretrained(saved)
    assert files(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]


def test_nothing_else_is_replaced(dictionary, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds something else"):
        dictionary.save_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match="holds something else"):
        dictionary.save_pretrained(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    dictionary.save_pretrained(tmp_path / "empty")


def test_an_estimator_of_someone_else_is_refused(states, tmp_path):
    class Own(SemiNMF):
        pass

    fitted = ConceptDictionary.fit(states, Own(2, random_state=0))
    with pytest.raises(ValueError, match=r"only estimators of coxlmm.estimators can be saved, got .*Own"):
        fitted.save_pretrained(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_an_interrupted_replacement_is_told_where_the_old_one_is(saved):
    saved.rename(saved.parent / ".saved.replaced")
    with pytest.raises(FileNotFoundError, match=r"previous one is intact in .*/\.saved\.replaced"):
        ConceptDictionary.from_pretrained(saved)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no concept dictionary at .*config.json is missing"):
        ConceptDictionary.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=99), r"format version 99; this release reads 1: upgrade"),
        (lambda c: c.update(format="else"), "is not the configuration of a concept dictionary"),
        (lambda c: c["estimator"].update({"class": "system"}), "'system' is not one of .*SemiNMF"),
        (lambda c: c["estimator"]["params"].update(shell=True), "damaged"),
        (lambda c: c["estimator"]["fitted"].update(transform=1), "'transform' is not the name"),
        (lambda c: c["estimator"]["fitted"].update(__class__=1), "'__class__' is not the name"),
        (lambda c: c["samples"]["captions"].pop(), "59 captions, and codes of 60 samples"),
        (lambda c: c["words"].pop(), "3 lists of words, and codes of 60 samples and 4 concepts"),
        (lambda c: c.pop("manifest"), "damaged: 'manifest'"),
        (lambda c: c["images"][0][0].update(file="../../secret"), "'../../secret' is not a file of its images"),
        (lambda c: c["images"][0][0].update(file="/etc/hostname"), "'/etc/hostname' is not a file of its images"),
        (lambda c: c["images"][0][0].update(file="images/.."), "is not a file of its images"),
        (lambda c: c["images"][0][0].update(file="images/none.webp"), "damaged"),
    ],
)
def test_damage_is_named(saved, change, message):
    edit(saved, change)
    with pytest.raises(ValueError, match=message):
        ConceptDictionary.from_pretrained(saved)


def test_a_link_out_of_the_images_is_not_followed(saved, tmp_path):
    (tmp_path / "secret").write_text("secret")
    image = next((saved / "images").iterdir())
    image.unlink()
    image.symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="is not a file of its images"):
        ConceptDictionary.from_pretrained(saved)


def test_a_file_cut_short_is_named(saved):
    data = (saved / "dictionary.safetensors").read_bytes()
    (saved / "dictionary.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="damaged"):
        ConceptDictionary.from_pretrained(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        ConceptDictionary.from_pretrained(saved)


def test_the_card_says_what_it_is_and_cannot_be_broken_out_of(dictionary, tmp_path):
    dictionary.manifest["prompt"] = "line\n\n# heading | `code` <script>"
    card = (dictionary.save_pretrained(tmp_path / "d") / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: coxlmm\n")
    assert "| prompt | `line # heading \\| 'code' <script>` |" in card
    assert "`owner/model`" in card
    assert "(\"the model above\", prompt='line\\n\\n# heading | `code` <script>')" in card
    assert "SemiNMF(" in card
    assert "`cat0, cat1" in card
