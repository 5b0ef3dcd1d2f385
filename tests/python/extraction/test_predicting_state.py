"""On a model whose every state is known: the extracted state is the one that predicts the word."""

import re
from importlib import metadata

import numpy as np
import pytest
from extraction.speaking import SENTENCES, token
from tiny_models import SpeakingLlava, byte_level_tokenizer, image

from coxlmm import LMM, ConceptDictionary, SemiNMF
from coxlmm.generation import generate
from coxlmm.images import UnreadableImageError
from coxlmm.words import WordNotFoundError


def test_it_says_what_it_was_made_to_say(lmm, speaker):
    assert lmm.caption(speaker.images) == SENTENCES
    # Neither the prompt nor what follows the end of a sequence while others of the batch go on.
    assert generate(lmm, lmm.inputs(speaker.images), 32).ids == speaker.sentences


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_the_state_is_the_one_before_the_word(lmm, speaker, layer):
    states = lmm.extract(speaker.images, "dog", layer=layer)
    # Sequences of the batch end at different steps, and the word is at different places.
    assert states.captions == ["a red dog", "this hot dog"]
    assert states.sample_ids == ["0", "4"]
    np.testing.assert_array_equal(states.positions, [2, 2])
    expected = [speaker.embedding(token(speaker, " red")), speaker.embedding(token(speaker, " hot"))]
    np.testing.assert_allclose(states.X, expected, rtol=1e-6)
    own = speaker.embedding(token(speaker, " dog"))
    assert np.abs(states.X - own).max() > 0.1


def test_a_first_word_is_predicted_by_the_end_of_the_prompt(lmm, speaker):
    states = lmm.extract(speaker.images, "two")
    np.testing.assert_array_equal(states.positions, [0])
    last_visual_token = states.X[0]
    # Visual features live outside of the dimensions of the tokens.
    assert np.abs(last_visual_token[: len(speaker.tokenizer)]).max() == 0
    assert lmm.unembedding.shape == (len(speaker.tokenizer), len(last_visual_token))
    logits = lmm.unembedding @ lmm.normalize(last_visual_token)[0]
    assert logits.argmax() == token(speaker, "two")


def test_a_word_of_several_tokens(lmm, speaker):
    by_choice = {choice: lmm.extract(speaker.images, "zebra", token=choice) for choice in ("first", "last", "mean")}
    predicts_zeb, predicts_ra = speaker.embedding(token(speaker, " blue")), speaker.embedding(token(speaker, " zeb"))
    expected = {"first": predicts_zeb, "last": predicts_ra, "mean": (predicts_zeb + predicts_ra) / 2}
    for choice, states in by_choice.items():
        np.testing.assert_allclose(states.X, [expected[choice]], rtol=1e-6)
        np.testing.assert_array_equal(states.positions, [2])
        assert states.captions == ["one blue zebra runs"]
        assert states.manifest["token"] == choice


def test_a_phrase(lmm, speaker):
    states = lmm.extract(speaker.images, "hot dog", token="last")
    np.testing.assert_array_equal(states.positions, [1])
    np.testing.assert_allclose(states.X, [speaker.embedding(token(speaker, " hot"))], rtol=1e-6)


def test_the_prompt_does_not_count(lmm, speaker):
    assert "photo" in lmm.prompt
    with pytest.raises(WordNotFoundError):
        lmm.extract(speaker.images, "photo")


def test_a_first_sub_token_does_not_count(lmm, speaker):
    assert token(speaker, " cat") in speaker.sentences[2]
    with pytest.raises(WordNotFoundError):
        lmm.extract(speaker.images, "cat")
    inflected = lmm.extract(speaker.images, "cat", inflections="en")
    assert inflected.captions == ["two Cats"]
    # Another version has another dictionary.
    assert inflected.manifest["versions"]["simplemma"] == metadata.version("simplemma")
    assert lmm.extract(speaker.images, "Cats", case_sensitive=True).captions == ["two Cats"]
    with pytest.raises(WordNotFoundError):
        lmm.extract(speaker.images, "cats", case_sensitive=True)


def test_references_are_matched_by_the_same_rules(lmm, speaker):
    references = ["A DOG", "a dog", "category", "dogs", "a hot-dog"]
    states = lmm.extract(speaker.images, "dog", references=references)
    assert states.captions == ["a red dog", "this hot dog"]
    assert states.references == [("A DOG",), ("a hot-dog",)]
    assert states.manifest["counts"] == {
        "seen": 5, "without_word_in_reference": 2, "unreadable": 0, "without_word_in_caption": 1, "matched": 2,
    }  # fmt: skip


def test_an_absent_word_is_answered_with_those_present(lmm, speaker):
    with pytest.raises(WordNotFoundError, match=r"'lion' .* none of 5 captions .* dog \(2\), a \(1\), blue \(1\)"):
        lmm.extract(speaker.images, "lion")
    with pytest.raises(WordNotFoundError, match=r"'dog' .* none of 5 references .* lion \(5\)"):
        lmm.extract(speaker.images, "dog", references=["a lion"] * 5)
    with pytest.raises(WordNotFoundError, match=r"none of 1 captions of the images whose reference has it \(of 5"):
        lmm.extract(speaker.images, "lion", references=["a lion", *["x"] * 4])


def test_generation_cut_short(lmm, speaker):
    assert lmm.caption(speaker.images, max_new_tokens=1) == ["a", "one", "the", "two", "this"]
    np.testing.assert_array_equal(lmm.extract(speaker.images, "one", max_new_tokens=1).positions, [0])
    with pytest.raises(WordNotFoundError):
        lmm.extract(speaker.images, "dog", max_new_tokens=2)


def test_images_are_consumed_a_few_batches_at_a_time(lmm, speaker):
    drawn = []

    def stream():
        for i in range(50):
            drawn.append(i)
            yield speaker.images[i % 5]

    reports = []
    states = lmm.extract(
        stream(), "dog", batch_size=1, workers=0, progress=lambda *report: reports.append((*report, len(drawn)))
    )
    assert states.sample_ids == [str(i) for i in range(50) if i % 5 in (0, 4)]
    assert [done for done, _, _ in reports] == [*range(1, 51), 50]
    assert all(total is None for _, total, _ in reports)
    # A window of eight batches is filled before its first one is captioned.
    assert [ahead - done for done, _, ahead in reports[:8]] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_progress_counts_the_images_that_references_rule_out(lmm, speaker):
    reports = []
    lmm.extract(
        speaker.images, "dog", references=["dog", "", "", "", ""], progress=lambda *report: reports.append(report)
    )
    assert reports[-1] == (5, 5)


def test_files(lmm, speaker, tmp_path):
    paths = []
    for i, picture in enumerate(speaker.images):
        paths.append(tmp_path / f"picture {i}.png")
        picture.save(paths[-1])
    states = lmm.extract(paths, "dog", out=tmp_path / "states")
    assert states.sample_ids == [str(paths[0]), str(paths[4])]
    assert lmm.extract([str(p) for p in paths], "dog", sample_ids=list("vwxyz")).sample_ids == ["v", "z"]
    saved = type(states).load(tmp_path / "states")
    np.testing.assert_array_equal(saved.X, states.X)
    assert saved.manifest == states.manifest


def test_two_images_of_one_name_are_two_samples(lmm, speaker, tmp_path):
    paths = [tmp_path / folder / "1.png" for folder in "ab"]
    for path, picture in zip(paths, (speaker.images[0], speaker.images[4]), strict=True):
        path.parent.mkdir()
        picture.save(path)
    states = lmm.extract(paths, "dog")
    assert states.sample_ids == [str(path) for path in paths]
    assert states.captions == ["a red dog", "this hot dog"]


def test_two_samples_of_one_id_are_refused(lmm, speaker):
    nothing_done = {"progress": lambda done, total: pytest.fail("captioned")}
    with pytest.raises(ValueError, match="two images have the sample id '7'"):
        lmm.extract(speaker.images, "dog", sample_ids=[1, 7, 2, 7, 3], **nothing_done)
    with pytest.raises(ValueError, match=r"two images have the sample id 'a\.png'"):
        lmm.extract(["a.png", "b.png", "a.png"], "dog", **nothing_done)
    with pytest.raises(ValueError, match="two images have the sample id 'x'"):
        lmm.extract(iter(speaker.images), "dog", sample_ids=iter("axbxc"))


def test_any_mode_of_image(lmm, speaker):
    rgba = speaker.images[0].convert("RGBA")
    assert lmm.caption([rgba]) == ["a red dog"]
    assert len(lmm.caption([image(0).convert("L"), image(0).convert("CMYK"), image(0).convert("P")])) == 3


@pytest.mark.parametrize("content", [b"not an image", b""])
def test_an_unreadable_image_is_named(lmm, speaker, tmp_path, content):
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    states = lmm.extract([speaker.images[0], broken, speaker.images[4]], "dog")
    assert states.sample_ids == ["0", "2"]
    assert states.manifest["counts"]["unreadable"] == 1
    (recorded,) = states.manifest["unreadable"]
    assert recorded["id"] == str(broken)
    with pytest.raises(UnreadableImageError, match=rf"broken\.png.*{re.escape(recorded['reason'])}"):
        lmm.extract([speaker.images[0], broken], "dog", on_error="raise")
    with pytest.raises(UnreadableImageError, match=r"any of 2 images, of which .*broken\.png.* is the first"):
        lmm.extract([broken, tmp_path / "absent.png"], "dog")
    with pytest.raises(ValueError, match=r"image 0 .*absent\.png"):
        lmm.caption([tmp_path / "absent.png"])
    truncated = tmp_path / "truncated.png"
    speaker.images[0].save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:-60])
    with pytest.raises(ValueError, match=r"truncated\.png"):
        lmm.caption([truncated])


def test_misuse(lmm, speaker, tmp_path):
    images = speaker.images
    with pytest.raises(TypeError, match="iterable of images, got one"):
        lmm.caption(images[0])
    for one in (np.asarray(images[0]), np.asarray(images[0])[..., 0]):
        with pytest.raises(TypeError, match=r"array of shape \(16, 16.*one image: put it in a list"):
            lmm.caption(one)
    with pytest.raises(TypeError, match="got one str"):
        lmm.extract("dog.png", "dog")
    with pytest.raises(ValueError, match="no images"):
        lmm.extract([], "dog")
    with pytest.raises(ValueError, match="each of the 5 images, got 1"):
        lmm.extract(images, "dog", references=["dog"])
    with pytest.raises(ValueError, match="references ended after 1 entries"):
        lmm.extract(iter(images), "dog", references=iter(["dog"]))
    with pytest.raises(TypeError, match="single string 'dog'"):
        lmm.extract(images, "dog", references="dog")
    with pytest.raises(TypeError, match="image 0 must be a string or a list of strings, got int"):
        lmm.extract(images, "dog", references=[1] * 5)
    with pytest.raises(ValueError, match="'middle'"):
        lmm.extract(images, "dog", token="middle")
    with pytest.raises(IndexError, match=r"layer 3 .* 3 decoder layers"):
        lmm.extract(images, "dog", layer=3)
    with pytest.raises(ValueError, match=r"batch_size .* got 0"):
        lmm.extract(images, "dog", batch_size=0)
    with pytest.raises(ValueError, match=r"max_new_tokens .* got 0"):
        lmm.caption(images, max_new_tokens=0)
    # Before the work, not after it.
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileExistsError, match="taken"):
        lmm.extract((pytest.fail("captioned") for _ in range(1)), "dog", out=tmp_path / "taken")


def test_words_of_scripts_without_spaces():
    tokenizer = byte_level_tokenizer(["狗熊在吃竹子", "一只", "在草地上", "看"])
    speaker = SpeakingLlava(["一只狗在草地上", "看狗熊在吃竹子"], tokenizer)
    lmm = LMM(speaker.model, speaker.processor, prompt=speaker.prompt)
    assert lmm.caption(speaker.images) == ["一只狗在草地上", "看狗熊在吃竹子"]
    states = lmm.extract(speaker.images, "狗")
    assert states.captions == ["一只狗在草地上"]
    np.testing.assert_array_equal(states.positions, [1])
    assert states.manifest["segmentation"] == "icu"
    assert states.manifest["versions"]["icu4py"] == metadata.version("icu4py")
    both = lmm.extract(speaker.images, "狗", segmentation="characters")
    assert both.captions == lmm.caption(speaker.images)
    # What is explained is matched as what was extracted.
    explain = ConceptDictionary.fit(both, SemiNMF(1, random_state=0)).explain
    assert explain(lmm, speaker.images[1]).span == (1, 2)
    with pytest.raises(WordNotFoundError):
        ConceptDictionary.fit(states, SemiNMF(1, random_state=0)).explain(lmm, speaker.images[1])
