"""A dictionary on disk: equal when it comes back, whole or not there, and harmless to read."""

import dataclasses
import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from concepts.world import noise_image
from PIL import Image
from safetensors.numpy import load_file, save_file

import coxlmm.estimators
from coxlmm import PCA, ConceptDictionary, LargestNorm, SemiNMF
from coxlmm.concept import Effect
from coxlmm.estimators import Whitened
from coxlmm.grounding import Word, thumbnail
from coxlmm.report import report_html


@pytest.fixture
def saved(dictionary, tmp_path):
    return dictionary.save_pretrained(tmp_path / "saved")


@pytest.fixture
def full(dictionary):
    """A dictionary with a value in every field that may have one."""
    rng = np.random.default_rng(1)
    dictionary.raw_words = [[Word(f"Ġ{k}", 1.5), Word("犬", -0.25)] for k in range(4)]
    dictionary.thumbnails = {59: thumbnail(noise_image(1)), 3: dictionary.images[0][0].thumbnail}
    dictionary.sample_words = ["dog", "cat"] * 30
    dictionary.stability = np.array([0.5, 1.0, 0.25, 0.125])
    dictionary.effects = [_effect(p_value) for p_value in (0.01, 1.0, 0.05, 0.5)]
    dictionary.measures = {"figures": {"clip_score": {"mean": 0.5, "std": 0.25}}, "seeds": [0, 1], "note": None}
    for hits in dictionary.images:
        for hit in hits[1:]:
            object.__setattr__(hit, "heat", rng.random((3, 5), dtype=np.float32))
    return dictionary


@pytest.fixture
def saved_full(full, tmp_path):
    return full.save_pretrained(tmp_path / "full")


def _effect(p_value):
    values = {f.name: 7 if f.name.startswith("n_") else 0.5 for f in dataclasses.fields(Effect)}
    return Effect(**values | {"p_value": p_value})


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


def test_every_field_comes_back(full, saved_full):
    loaded = ConceptDictionary.from_pretrained(saved_full)
    for field in dataclasses.fields(ConceptDictionary):
        own, back = getattr(full, field.name), getattr(loaded, field.name)
        if isinstance(own, np.ndarray):
            assert own.dtype == back.dtype
            np.testing.assert_array_equal(own, back)
        elif field.name != "estimator":
            assert own == back, field.name
            # A fixture that leaves a field at its default would show nothing.
            assert own, field.name
    heats = [(own.heat, back.heat) for ours, theirs in zip(full.images, loaded.images, strict=True)
             for own, back in zip(ours, theirs, strict=True)]  # fmt: skip
    assert sum(own is not None for own, _ in heats) > 4
    for own, back in heats:
        np.testing.assert_array_equal(own, back)


def test_every_field_is_the_same_to_the_byte_when_saved_again(saved_full, tmp_path):
    again = ConceptDictionary.from_pretrained(saved_full).save_pretrained(tmp_path / "again")
    assert files(again) == files(saved_full)


def estimators():
    """One of every class of coxlmm.estimators; those that wrap another one around two."""
    plain, wrapping = [], []
    for name in coxlmm.estimators.__all__:
        kind = getattr(coxlmm.estimators, name)
        (wrapping if "estimator" in kind.__init__.__annotations__ else plain).append(kind)
    return [kind(3, random_state=0) for kind in plain] + [
        kind(inner) for kind in wrapping for inner in (SemiNMF(3, l1=0.03, random_state=0), LargestNorm(3, l1=0.03))
    ]


@pytest.mark.parametrize("estimator", estimators(), ids=repr)
def test_every_estimator_comes_back_and_is_the_same_to_the_byte(estimator, states, tmp_path):
    if type(estimator).__name__ == "NMF":
        states.X = np.abs(states.X)
    fitted = ConceptDictionary.fit(states, estimator)
    saved = fitted.save_pretrained(tmp_path / "saved")
    loaded = ConceptDictionary.from_pretrained(saved)
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))
    np.testing.assert_array_equal(loaded.decode(fitted.codes), fitted.decode(fitted.codes))
    assert repr(loaded.estimator) == repr(estimator)
    assert files(loaded.save_pretrained(tmp_path / "again")) == files(saved)


def test_names_of_files_that_are_no_text_survive(dictionary, tmp_path):
    dictionary.sample_ids[0] = os.fsdecode(b"caf\xe9.png")
    dictionary.captions[0] = '犬 \\udc80 "dog"'
    dictionary.manifest["model_id"] = os.fsdecode(b"mod\xe8le")
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "d"))
    assert os.fsencode(loaded.sample_ids[0]) == b"caf\xe9.png"
    assert loaded.captions == dictionary.captions
    assert "犬" in (tmp_path / "d" / "config.json").read_text()


def test_images_of_one_sample_id_are_not_mixed_up(dictionary, tmp_path):
    one, other = (thumbnail(noise_image(seed, 8)) for seed in (1, 2))
    for hit, value in zip(dictionary.images[0][:3], (one, other, one), strict=True):
        object.__setattr__(hit, "thumbnail", value)
        object.__setattr__(hit, "sample_id", dictionary.sample_ids[7])
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "d"))
    assert [hit.thumbnail for hit in loaded.images[0][:3]] == [one, other, one]


def test_before_grounding_it_can_be_saved_too(states, tmp_path):
    fitted = ConceptDictionary.fit(states, SemiNMF(2, random_state=0))
    loaded = ConceptDictionary.from_pretrained(fitted.save_pretrained(tmp_path / "d"))
    assert loaded.words == loaded.images == []
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))


def test_what_only_the_fit_needed_is_left_behind(states, tmp_path):
    start = np.eye(2, 12)
    estimator = SemiNMF(2, init=start, callback=lambda i, objective: None, random_state=np.random.RandomState(0))
    fitted = ConceptDictionary.fit(states, estimator)
    saved = fitted.save_pretrained(tmp_path / "d")
    loaded = ConceptDictionary.from_pretrained(saved)
    assert loaded.estimator.callback is None
    assert loaded.estimator.init == SemiNMF().init
    assert files(loaded.save_pretrained(tmp_path / "again")) == files(saved)
    np.testing.assert_array_equal(loaded.encode(states), fitted.encode(states))


def test_an_interrupted_save_leaves_the_old_one(states, dictionary, saved, monkeypatch):
    before = files(saved)
    other = ConceptDictionary.fit(states, SemiNMF(2, random_state=1))

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("coxlmm.serialization.directory.save_file", fail)
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


def _heat_of(tensors):
    return next(name for name in tensors if name.endswith(".heat"))


def _first_hit(config):
    return config["images"][0][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(version=99),
            r"version 99, written by coxlmm .* reads up to 2: pip install --upgrade",
        ),
        (
            lambda c: c.update(version="3.0", coxlmm_version="7.1"),
            r"version 3\.0, written by coxlmm 7\.1; this",
        ),
        (lambda c: c.update(version="new"), "damaged: its format version is 'new'"),
        (lambda c: c.pop("version"), "damaged: its format version is None"),
        (lambda c: c.update(format="else"), "is not the configuration of a concept dictionary"),
        (lambda c: c["estimator"].update({"class": "system"}), "'system' is not one of .*SemiNMF"),
        (lambda c: c["estimator"].update({"class": "__builtins__"}), "'__builtins__' is not one of"),
        (lambda c: c["estimator"].update({"class": ["SemiNMF"]}), "is not one of"),
        (lambda c: c["estimator"]["params"].update(shell=True), "damaged: SemiNMF has no parameter 'shell'"),
        (lambda c: c["estimator"]["params"].update(init=[1]), r"estimator.init is \[1\], and must be a number"),
        (lambda c: c["estimator"]["params"].update(callback={"class": "eval"}), "must have a class, params and fitted"),
        (lambda c: c["estimator"]["fitted"].update(transform=1), "'transform' is not the name"),
        (lambda c: c["estimator"]["fitted"].update(__class__=1), "'__class__' is not the name"),
        (lambda c: c.update(estimator=[]), "estimator must have a class"),
        (lambda c: c["captions"].pop(), "59 captions, and codes of 60 samples"),
        (lambda c: c["captions"].__setitem__(3, 7), "captions.3 is 7, and must be a text"),
        (lambda c: c.update(captions={}), "captions is {}, and must be a list"),
        (lambda c: c["sample_words"].pop(), "59 words of samples"),
        (lambda c: c["words"].pop(), "3 lists of words, and codes of 60 samples and 4 concepts"),
        (lambda c: c["words"][1].append(["x"]), r"words.1.5: .*missing 1 required positional argument: 'score'"),
        (lambda c: c["words"][1].append(["x", "y"]), r"words.1.5.score is 'y', and must be a number"),
        (lambda c: c["raw_words"].pop(), "3 lists of raw words"),
        (lambda c: c["effects"].pop(), "3 effects"),
        (lambda c: c["effects"][0].pop("divergence"), "effects.0: .*'divergence'"),
        (lambda c: c["effects"].__setitem__(0, 3), "effects.0 is 3, and must be an object"),
        (lambda c: c.pop("manifest"), "damaged: it has no 'manifest'"),
        (lambda c: c.update(manifest=[]), r"manifest is \[\], and must be an object"),
        (lambda c: c["manifest"].update(word=7), "its manifest's word must be a text, or a list of them, got 7"),
        (lambda c: c["manifest"].update(word=["dog", None]), "or a list of them, got .*None"),
        (lambda c: c["manifest"].update(layer="2"), "its manifest's layer must be of type Integral, got '2'"),
        (lambda c: c["manifest"].update(model_id=["x"]), "its manifest's model_id must be of type str"),
        (lambda c: c.update(relative_error=10**400), "relative_error is 1000.*, and must be a number that a float"),
        (lambda c: c.update(relative_error=float("nan")), "config.json is damaged: NaN is no JSON"),
        (lambda c: c.update(relative_error=True), "relative_error is True, and must be a number"),
        (lambda c: c.update(codes="estimator"), "codes is 'estimator', and must be the name of an array"),
        (lambda c: c.update(codes="stability"), "codes must be finite floats, n_samples x n_components"),
        (lambda c: c.update(stability="error_shares_"), "must be the name of an array"),
        (lambda c: c["thumbnails"].update({"60": c["thumbnails"]["3"]}), "thumbnail of sample 60, of 60 from 0"),
        (lambda c: c["thumbnails"].update({"03": "x"}), "thumbnails is '03', and must be an object whose keys are num"),
        (lambda c: c["thumbnails"].update({"3": "../config.json"}), "'../config.json' is not a file of its images"),
        (lambda c: _first_hit(c).update(thumbnail="../../secret"), "'../../secret' is not a file of its images"),
        (lambda c: _first_hit(c).update(thumbnail="/etc/hostname"), "'/etc/hostname' is not a file of its images"),
        (lambda c: _first_hit(c).update(thumbnail="images/.."), "is not a file of its images"),
        (lambda c: _first_hit(c).update(thumbnail="images/99999.webp"), "damaged: .*No such file"),
        (lambda c: _first_hit(c).update(heat="codes"), "heat map of .* must be rows x columns of 0 to 1"),
        (lambda c: _first_hit(c).update(heat="stability"), "heat map of .* must be rows x columns of 0 to 1"),
        (lambda c: _first_hit(c).update(sample_id="of another"), "'of another' is none of its samples"),
        (lambda c: _first_hit(c).update(activation="NaN"), "the activation of .* must be finite, got nan"),
        (lambda c: c["words"][1].append(["x", "Infinity"]), "score of its word 'x' must be finite, got inf"),
        (lambda c: c["raw_words"][1].append(["x", "NaN"]), "score of its word 'x' must be finite, got nan"),
        (lambda c: c.update(error_shares="estimator.components_"), "48 error shares"),
        (lambda c: c["manifest"].update(grounding=[]), r"manifest's grounding must be an object, got \[\]"),
        (lambda c: c["manifest"].update(grounding=None), "manifest's grounding must be an object, got None"),
        (lambda c: c["manifest"].update(localisation="x"), "manifest's localisation must be an object, got 'x'"),
        (
            lambda c: c["manifest"].update(grounding={"rank_of_word": "3"}),
            "its manifest's grounding's rank_of_word must be of type Integral, got '3'",
        ),
        (lambda c: c["manifest"].update(grounding={"word_filter": 3}), "grounding's word_filter must be of type dict"),
        (lambda c: c["manifest"].update(word=" "), "word to look for must be a non-blank string, got ' '"),
        (lambda c: c["manifest"].update(word=["dog", ""]), "word to look for must be a non-blank string"),
        (lambda c: c["manifest"].update(inflections=["en"]), "manifest's inflections must be of type str"),
        (lambda c: c["manifest"].update(segmentation="letters"), "segmentation must be one of icu, .*got 'letters'"),
        (lambda c: c["manifest"].update(max_new_tokens="7"), "manifest's max_new_tokens must be of type Integral"),
    ],
)
def test_damage_is_named(saved_full, change, message):
    edit(saved_full, change)
    with pytest.raises(ValueError, match=message):
        ConceptDictionary.from_pretrained(saved_full)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("codes"), "codes is 'codes', and must be the name of an array"),
        (lambda t: t.update(codes=t["codes"][:, :3]), "4 components, and codes of 60 samples and 3 concepts"),
        (lambda t: t.update(codes=t["codes"].astype(int)), "codes must be finite floats"),
        (lambda t: t["codes"].__setitem__((5, 2), np.nan), "1 of them not finite"),
        (lambda t: t["codes"].__setitem__((5, 2), np.inf), "1 of them not finite"),
        (lambda t: t.update(stability=t["stability"][:2]), "2 figures of stability"),
        (lambda t: t.update(error_shares=t["error_shares"][:2]), "2 error shares"),
        (lambda t: t.pop("estimator.components_"), "components_"),
        (lambda t: t["estimator.components_"].__setitem__((1, 1), np.nan), "components must be a matrix of finite"),
        (lambda t: t.update({"estimator.components_": np.ones(4)}), "components must be a matrix of finite floats"),
        (lambda t: t.update({"estimator.components_": np.ones((4, 9))}), "damaged: .*features"),
        (lambda t: t.update({"estimator.components_": np.ones((4, 0))}), "components must be a matrix of finite"),
        (lambda t: t.update(error_shares=t["error_shares"].reshape(2, 2)), r"error shares must be .* \(2, 2\)"),
        (lambda t: t.update(error_shares=np.ones(4, dtype=int)), "error shares must be one float a concept, got int"),
        (lambda t: t.update(stability=t["stability"].reshape(4, 1)), r"stability must be .* of shape \(4, 1\)"),
        (lambda t: t["stability"].__setitem__(1, np.nan), "its stability must be finite"),
        (lambda t: t.update({_heat_of(t): np.ones((0, 5), np.float32)}), "heat map of .* must be rows x columns"),
    ],
)
def test_damage_of_arrays_is_named(saved_full, change, message):
    tensors = load_file(saved_full / "dictionary.safetensors")
    change(tensors)
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, saved_full / "dictionary.safetensors")
    with pytest.raises(ValueError, match=message):
        ConceptDictionary.from_pretrained(saved_full)


def test_a_mean_of_other_features_is_refused(states, tmp_path):
    saved = ConceptDictionary.fit(states, PCA(3)).save_pretrained(tmp_path / "pca")
    tensors = load_file(saved / "dictionary.safetensors")
    save_file(tensors | {"estimator.mean_": np.ones(7)}, saved / "dictionary.safetensors")
    with pytest.raises(ValueError, match="damaged: "):
        ConceptDictionary.from_pretrained(saved)


@pytest.mark.parametrize("name", ["dictionary.safetensors", "images/00001.webp"])
@pytest.mark.parametrize("keep", [None, 0, 0.5])
def test_a_file_that_is_missing_or_cut_short_is_named(saved, name, keep):
    if keep is None:
        (saved / name).unlink()
    else:
        data = (saved / name).read_bytes()
        (saved / name).write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=r"the concept dictionary at .*saved is damaged"):
        ConceptDictionary.from_pretrained(saved)


@pytest.mark.parametrize("text", ["{", "", "[]", "\udcff", '{"a": NaN}', "[" * 100_000])
def test_a_configuration_that_is_none_is_named(saved, text):
    (saved / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"config.json is (damaged|not the configuration of a concept dictionary)"):
        ConceptDictionary.from_pretrained(saved)


def _webp(width, height):
    written = io.BytesIO()
    Image.new("RGB", (width, height)).save(written, "WEBP")
    return written.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_webp(600, 8), "a thumbnail has 600 x 8 pixels, and may have 512 a side"),
        (_webp(8, 16383), "a thumbnail has 8 x 16383 pixels"),
        (b"RIFF" + (24).to_bytes(4, "little") + b"WEBPVP8 " + bytes(16), "a thumbnail of 32 bytes cannot be opened"),
    ],
)
def test_pictures_that_are_no_thumbnails_are_refused(saved, data, message):
    next((saved / "images").iterdir()).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        ConceptDictionary.from_pretrained(saved)


def test_a_picture_that_would_fill_the_memory_is_refused(saved, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"a thumbnail of .* cannot be opened: .*decompression bomb"):
        ConceptDictionary.from_pretrained(saved)


def test_small_files_of_many_concepts_are_not_encoded_with(states, tmp_path, monkeypatch):
    """What a file says of its size is cheap to write, and dear to believe."""
    saved = ConceptDictionary.fit(states, SemiNMF(2, random_state=0)).save_pretrained(tmp_path / "d")
    tensors = {"codes": np.ones((1, 3000), np.float32), "estimator.components_": np.ones((3000, 1), np.float32)}
    save_file(tensors | {"error_shares": np.ones(3000)}, saved / "dictionary.safetensors")
    edit(saved, lambda c: c.update(captions=["dog"], sample_ids=["0"]))
    monkeypatch.setattr(SemiNMF, "transform", lambda *_: pytest.fail("it was encoded with"))
    with pytest.raises(ValueError, match="3000 concepts of 1 samples, and no fit finds more"):
        ConceptDictionary.from_pretrained(saved)


def test_an_estimator_within_another_of_many_concepts_is_not_encoded_with(states, tmp_path, monkeypatch):
    fitted = ConceptDictionary.fit(states, Whitened(SemiNMF(2, random_state=0)))
    saved = fitted.save_pretrained(tmp_path / "d")
    tensors = load_file(saved / "dictionary.safetensors")
    tensors["estimator.estimator_.components_"] = np.ones((3000, 2), np.float32)
    save_file(tensors, saved / "dictionary.safetensors")
    monkeypatch.setattr(Whitened, "transform", lambda *_: pytest.fail("it was encoded with"))
    with pytest.raises(ValueError, match="its SemiNMF has 3000 components, for 2 concepts"):
        ConceptDictionary.from_pretrained(saved)


def test_what_does_not_fit_into_memory_is_refused_like_other_damage(saved, monkeypatch):
    def fail(*_):
        raise MemoryError("for 10 TiB")

    monkeypatch.setattr(SemiNMF, "transform", fail)
    with pytest.raises(ValueError, match="is damaged: for 10 TiB"):
        ConceptDictionary.from_pretrained(saved)


def test_without_the_package_that_finds_its_word_it_is_read(dictionary, tmp_path, monkeypatch):
    dictionary.manifest["inflections"] = "en"

    def lacks(*_):
        raise ImportError("inflections='en' needs the package simplemma")

    monkeypatch.setattr("coxlmm.words.matching.require_options", lacks)
    saved = dictionary.save_pretrained(tmp_path / "d")
    assert ConceptDictionary.from_pretrained(saved).word == "dog"


def test_no_change_of_one_byte_escapes_as_anything_else(saved_full, recwarn):
    """Whatever a damaged byte makes of the files: a dictionary of which there is a report, or one kind of error."""
    rng = np.random.default_rng(0)
    for name in ("config.json", "dictionary.safetensors", "images/00001.webp"):
        data = (saved_full / name).read_bytes()
        for position in rng.integers(0, min(len(data), 5000), 60):
            damaged = bytearray(data)
            damaged[position] = rng.integers(256)
            (saved_full / name).write_bytes(bytes(damaged))
            try:
                loaded = ConceptDictionary.from_pretrained(saved_full)
            except ValueError as error:
                assert str(saved_full) in str(error)  # noqa: PT017 (no error is fine, too)
            else:
                report_html(loaded)
        (saved_full / name).write_bytes(data)


def test_what_could_not_be_loaded_is_not_saved(full, tmp_path):
    full.codes[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 of them not finite"):
        full.save_pretrained(tmp_path / "d")
    full.codes[3, 1] = 0
    full.measures["figure"] = {1, 2}
    with pytest.raises(ValueError, match=r"measures.figure cannot be saved: a set \({1, 2}\)"):
        full.save_pretrained(tmp_path / "d")
    del full.measures["figure"]
    full.thumbnails[0] = b"PNG"
    with pytest.raises(ValueError, match="a thumbnail of 3 bytes, b'PNG'"):
        full.save_pretrained(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def as_version_1(saved):
    """The directory as releases before version 2.0 of the format wrote it."""
    config = json.loads((saved / "config.json").read_text())
    assert config["codes"] == "codes"
    assert config["error_shares"] == "error_shares"
    old = {
        "format": config["format"],
        "version": 1,
        "coxlmm_version": "0.1.0",
        "estimator": config["estimator"],
        "relative_error": None if config["relative_error"] == "NaN" else config["relative_error"],
        "manifest": config["manifest"],
        "samples": {"ids": config["sample_ids"], "captions": config["captions"]},
        "words": config["words"],
        "images": [
            [
                {key: hit[key] for key in ("sample_id", "activation", "caption")} | {"file": hit["thumbnail"]}
                for hit in hits
            ]
            for hits in config["images"]
        ],
    }
    (saved / "config.json").write_text(json.dumps(old))
    return saved


def test_a_dictionary_of_version_1_is_read(dictionary, states, saved, recwarn):
    loaded = ConceptDictionary.from_pretrained(as_version_1(saved))
    assert loaded.concepts == dictionary.concepts
    assert [hit.thumbnail for hit in loaded.images[0]] == [hit.thumbnail for hit in dictionary.images[0]]
    assert loaded.relative_error == dictionary.relative_error
    assert (loaded.stability, loaded.effects, loaded.sample_words) == (None, None, None)
    assert (loaded.raw_words, loaded.thumbnails, loaded.measures) == ([], {}, {})
    np.testing.assert_array_equal(loaded.encode(states), dictionary.encode(states))
    assert not [w for w in recwarn if "leaves out" in str(w.message)]


def test_errors_that_are_unknown_are_so_in_every_version(dictionary, tmp_path):
    dictionary.relative_error = float("nan")
    dictionary.error_shares = np.full(4, np.nan)
    saved = dictionary.save_pretrained(tmp_path / "d")
    assert np.isnan(ConceptDictionary.from_pretrained(saved).relative_error)
    loaded = ConceptDictionary.from_pretrained(as_version_1(saved))
    assert np.isnan(loaded.relative_error)
    assert np.isnan(loaded.error_shares).all()


def test_what_a_later_release_added_is_left_out_and_said(full, saved_full):
    def add(config):
        config["version"], config["coxlmm_version"] = "2.7", "0.9"
        config["provenance"] = {"by": "someone"}
        config["effects"][0]["alternatives"] = []
        config["images"][1][0]["saliency"] = None
        config["words"][0][0].append("en")

    edit(saved_full, add)
    tensors = load_file(saved_full / "dictionary.safetensors")
    save_file(tensors | {"covariance": np.eye(2)}, saved_full / "dictionary.safetensors")
    names = r"covariance, effects.\*.alternatives, images.\*.saliency, provenance, words.\*\[2\]"
    with pytest.warns(UserWarning, match=r"format 2.7, written by coxlmm 0.9\) has .* leaves out: " + names) as caught:
        loaded = ConceptDictionary.from_pretrained(saved_full)
    assert caught[0].filename == __file__
    assert loaded.effects == full.effects
    assert loaded.words == full.words


def test_an_estimator_of_a_later_release_is_an_error_that_says_so(saved):
    edit(saved, lambda c: c.update(version="2.7", coxlmm_version="0.9"))
    edit(saved, lambda c: c["estimator"].update({"class": "DeepNMF"}))
    with pytest.raises(ValueError, match=r"written by coxlmm 0.9, of a newer format\): its estimator 'DeepNMF' is not"):
        ConceptDictionary.from_pretrained(saved)


def test_nothing_is_left_out_of_what_is_saved_here(saved_full):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConceptDictionary.from_pretrained(saved_full)


@pytest.mark.parametrize(
    "source",
    [
        {"path": "/home/secret/photos", "images": None},
        {"name": "/home/secret/photos", "images": "/home/secret"},
        {"path": "C:\\secret\\photos\\"},
        "../secret/photos",
        {"folders": ["/home/secret/photos"]},
    ],
)
@pytest.mark.parametrize("model", ["/home/secret/llava", "./secret/llava", "secret/llava", "file:///secret/llava"])
def test_folders_of_the_machine_are_not_shared(dictionary, tmp_path, monkeypatch, model, source):
    (tmp_path / "secret" / "llava").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    dictionary.manifest |= {"model_id": model, "source": source}
    dictionary.manifest["unreadable"] = [{"id": "/home/someone/photos/broken.png", "reason": "cannot be read"}]
    saved = dictionary.save_pretrained(tmp_path / "d")
    assert not any(b"secret" in data for data in files(saved).values())
    loaded = ConceptDictionary.from_pretrained(saved)
    assert "unreadable" not in loaded.manifest
    assert loaded.manifest["source"] == ({} if "folders" in source else {"name": "photos"})
    assert loaded.manifest["model_id"] == "llava"
    # Somebody else's model of that name is not the one.
    assert loaded.manifest["model_is_local"]
    assert files(loaded.save_pretrained(tmp_path / "again")) == files(saved)
    assert dictionary.manifest["source"] == source


def test_a_link_out_of_the_images_is_not_followed(saved, tmp_path):
    (tmp_path / "secret").write_text("secret")
    image = next((saved / "images").iterdir())
    image.unlink()
    image.symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="is not a file of its images"):
        ConceptDictionary.from_pretrained(saved)
