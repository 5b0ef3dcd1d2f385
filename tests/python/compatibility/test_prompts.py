"""What the library does for classes whose prompts, batches or samplers are not like the others'."""

import pytest
from compatibility import families_second as families
from compatibility.checks import IMAGES
from tiny_models import one_thread  # noqa: F401

from coxlmm import LMM


def test_a_prompt_does_not_end():
    model, processor = families.git()
    lmm = LMM(model, processor, prompt="a photo of")
    ids = lmm.inputs(IMAGES[:1])["input_ids"][0].tolist()
    words = lmm.tokenizer.convert_ids_to_tokens(ids)
    assert words == ["[CLS]", "a", "photo", "of"]


def test_what_a_tokenizer_ends_texts_with_ends_captions():
    model, processor = families.git()
    model.generation_config.eos_token_id = None
    lmm = LMM(model, processor)
    assert lmm.tokenizer.eos_token_id is None
    assert lmm.eos_token_ids == [lmm.tokenizer.sep_token_id]


def test_an_image_is_placed_once():
    model, processor = families.blip_2("opt")()
    lmm = LMM(model, processor, prompt="<image>a photo of")
    ids = lmm.inputs(IMAGES[:1])["input_ids"][0]
    assert int((ids == model.config.image_token_index).sum()) == model.config.num_query_tokens


def test_images_whose_states_would_depend_on_others_are_refused():
    lmm = LMM(*families.hunyuan_vl())
    assert len(lmm.caption(IMAGES[:2], batch_size=1, max_new_tokens=2)) == 2
    with pytest.raises(ValueError, match=r"HunYuanVL.* takes one image at a time, batch_size=1"):
        lmm.inputs(IMAGES[:2])


def test_a_sampler_that_cannot_draw_is_no_silent_greed():
    lmm = LMM(*families.janus())
    with pytest.raises(RuntimeError, match=r"JanusForConditionalGeneration\.generate hands no sampler on"):
        lmm.extract(IMAGES[:1], None, position="prompt", temperature=1.0, max_new_tokens=2)
