"""CLIPScore is the explicit formula, for CLIP and for SigLIP."""

import numpy as np
import pytest
import torch
from evaluation.judges import LONGEST, tiny_clip, tiny_siglip
from tiny_models import image

from coxlmm.evaluation import ClipModel
from coxlmm.evaluation.clip_score import clip_score, described_by

TEXTS = [described_by(["red", "dog", "grass"]), described_by(["cat"]), "a blue cat on the grass"]
IMAGES = [image(seed) for seed in range(4)]


def embeddings(model, processor, padding):
    """Of the model's own forward pass, one text at a time."""
    ids = [processor.tokenizer(text)["input_ids"] for text in TEXTS]
    pad = processor.tokenizer.pad_token_id
    rows = [torch.tensor([row + [pad] * (LONGEST - len(row) if padding else 0)]) for row in ids]
    pixels = processor.image_processor(IMAGES, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        outputs = [model(input_ids=row, pixel_values=pixels) for row in rows]
    return outputs[0].image_embeds.numpy(), np.concatenate([output.text_embeds.numpy() for output in outputs])


@pytest.mark.parametrize(("make", "padding"), [(tiny_clip, False), (tiny_siglip, True)])
def test_it_is_the_formula(make, padding):
    model, processor = make()
    clip = ClipModel(model, processor)
    images, texts = clip.images(IMAGES), clip.texts(TEXTS)
    own_images, own_texts = embeddings(model, processor, padding)
    for i in range(len(IMAGES)):
        for t in range(len(TEXTS)):
            a, b = own_images[i], own_texts[t]
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            (score,) = clip_score(images[[i]], texts[[t]])
            assert score == pytest.approx(2.5 * max(cosine, 0), abs=1e-5)
    scores = clip_score(images[[0, 1, 2]], texts)
    assert np.ptp(scores) > 0.05  # it depends on what is judged


def test_the_text_is_that_of_the_paper():
    assert described_by(["red", "dog"]) == "A photo is described by the words red, dog"


def test_what_points_away_scores_0_and_what_agrees_two_and_a_half():
    one = np.array([[0.6, 0.8]])
    assert clip_score(one, -one) == [0]
    assert clip_score(one, one) == pytest.approx([2.5])


@pytest.mark.parametrize("make", [tiny_clip, tiny_siglip])
def test_long_texts_are_cut_to_what_the_model_reads(make):
    clip = ClipModel(*make())
    words = ["dog"] * (2 * LONGEST)
    longer, long = clip.texts([" ".join(words), " ".join(words[:LONGEST])])
    np.testing.assert_array_equal(longer, long)


def test_a_text_is_the_same_alone_and_among_longer_ones():
    for make in (tiny_clip, tiny_siglip):
        alone = ClipModel(*make()).texts(["a dog"])
        among = ClipModel(*make()).texts(["a dog on the grass by the blue cat", "a dog"])
        np.testing.assert_allclose(alone[0], among[1], atol=1e-5)


def test_it_is_loaded_from_a_directory(tmp_path):
    model, processor = tiny_clip()
    model.save_pretrained(tmp_path / "small-clip")
    processor.save_pretrained(tmp_path / "small-clip")
    loaded = ClipModel.of(tmp_path / "small-clip")
    assert loaded.name == "small-clip"
    np.testing.assert_allclose(loaded.texts(TEXTS), ClipModel.of((model, processor)).texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(loaded.images(IMAGES), ClipModel(model, processor).images(IMAGES), atol=1e-6)
    assert ClipModel.of(loaded) is loaded


def test_other_models_are_refused():
    model, processor = tiny_clip()
    with pytest.raises(ValueError, match=r"CLIPText\w+ has no get_image_features"):
        ClipModel(model.text_model, processor)
    with pytest.raises(ValueError, match="a path or a pair"):
        ClipModel.of(3)
