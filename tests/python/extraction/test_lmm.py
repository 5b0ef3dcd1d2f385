"""What holds for any model: layers, norm and unembedding, batches, hooks, saved models."""

import numpy as np
import pytest
import torch
from tiny_models import CHAT_TEMPLATE, PROMPT, byte_level_tokenizer, image, tiny_idefics3, tiny_llava
from tokenizers import processors

from coxlmm import LMM, States
from coxlmm.architecture import Architecture, UnsupportedModelError
from coxlmm.generation import Record, generate
from coxlmm.images import open_image
from coxlmm.samples import Sample
from coxlmm.verification import TOLERANCE, VerificationError, verify_samples

SHAPES = [(16, 16), (32, 16), (16, 32), (48, 16)]


def build(name):
    model, processor = {"llava": tiny_llava, "idefics3": tiny_idefics3}[name]()
    return LMM(model, processor, prompt=PROMPT if name == "llava" else None)


@pytest.fixture(scope="module", params=["llava", "idefics3"])
def lmm(request):
    return build(request.param)


@pytest.fixture(scope="module")
def images():
    return [image(i, SHAPES[i % len(SHAPES)]) for i in range(10)]


def said_word(lmm, images):
    """A word that several captions hold, not at their beginning only."""
    captions = lmm.caption(images, max_new_tokens=8)
    assert len(set(captions)) > 3
    words = sorted({w for c in captions for w in c.split()}, key=lambda w: sum(w in c.split() for c in captions))
    return next(w for w in reversed(words) if sum(w in c.split() for c in captions) < len(captions))


def plain_forward(lmm, picture, ids):
    """Hidden states and logits of one image with its caption in place: no cache, no batch, no hook."""
    inputs = lmm.inputs([picture])
    tail = torch.tensor([ids], dtype=torch.long)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.inference_mode():
        return lmm.model(**inputs, output_hidden_states=True, use_cache=False)


def test_batch_equals_single(lmm, images):
    word = said_word(lmm, images)
    padded = lmm.inputs(images)["attention_mask"]
    if "Idefics3" in type(lmm.model).__name__:
        assert not padded.all()
    batched = lmm.extract(images, word, batch_size=len(images), max_new_tokens=8)
    singly = lmm.extract(images, word, batch_size=1, max_new_tokens=8)
    assert 1 < len(batched) < len(images)
    assert batched.captions == singly.captions
    assert batched.sample_ids == singly.sample_ids
    np.testing.assert_array_equal(batched.positions, singly.positions)
    difference = np.linalg.norm(batched.X - singly.X, axis=1) / np.linalg.norm(singly.X, axis=1)
    assert difference.max() < 1e-4


def test_states_are_those_of_a_plain_forward_pass(lmm, images):
    word = said_word(lmm, images)
    generated = generate(lmm, lmm.inputs(images), 8).ids
    for layer in (*range(lmm.n_layers), -1, -lmm.n_layers):
        states = lmm.extract(images, word, layer=layer, max_new_tokens=8, batch_size=4)
        assert states.manifest["layer"] == layer % lmm.n_layers
        for row, index, position, caption in zip(
            states.X, states.sample_ids, states.positions, states.captions, strict=True
        ):
            picture, ids = images[int(index)], generated[int(index)]
            assert lmm.decode(ids).strip() == caption
            assert lmm.decode_token(ids[position]) == f" {word}"
            outputs = plain_forward(lmm, picture, ids[:position])
            hidden = outputs.hidden_states[layer % lmm.n_layers + 1][0, -1].numpy()
            if layer % lmm.n_layers == lmm.n_layers - 1:
                # transformers' last entry is normalised already, ours is not: once, not twice and not never.
                np.testing.assert_allclose(lmm.normalize(row)[0], hidden, rtol=1e-4, atol=1e-5)
                assert np.abs(row - hidden).max() > 0.1
                assert np.abs(lmm.normalize(lmm.normalize(row))[0] - hidden).max() > 0.1
                logits = lmm.unembedding @ lmm.normalize(row)[0]
                np.testing.assert_allclose(logits, outputs.logits[0, -1].numpy(), rtol=1e-4, atol=1e-4)
                assert logits.argmax() == ids[position]
            else:
                np.testing.assert_allclose(row, hidden, rtol=1e-4, atol=1e-5)


def test_verify(lmm, images):
    word = said_word(lmm, images)
    for layer in (0, -1):
        for token in ("first", "mean"):
            states = lmm.extract(images, word, layer=layer, token=token, max_new_tokens=8, verify=3)
            checked = states.manifest["verified"]
            assert checked["n"] == min(3, len(states))
            assert 0 < checked["max_relative_error"] < checked["tolerance"] == 1e-4


def test_verify_notices_a_wrong_position(images, monkeypatch):
    lmm = build("llava")
    word = said_word(lmm, images)
    original = generate

    def late(*args):
        generated = original(*args)
        return type(generated)(generated.ids, [torch.roll(states, -1, dims=0) for states in generated.states])

    monkeypatch.setattr("coxlmm.captioner.generate", late)
    for layer in (1, -1):
        with pytest.raises(VerificationError, match="differs"):
            lmm.extract(images, word, layer=layer, max_new_tokens=8, verify=20)


def test_verify_notices_a_wrong_norm(images):
    lmm = build("llava")
    word = said_word(lmm, images)
    parts = lmm.architecture
    lmm.architecture = Architecture(parts.layers, parts.layers_name, torch.nn.Identity(), parts.output_embedding)
    with pytest.raises(VerificationError):
        lmm.extract(images, word, max_new_tokens=8, verify=2)


def test_verify_notices_a_wrong_output_embedding(images):
    lmm = build("llava")
    word = said_word(lmm, images)
    parts = lmm.architecture
    other = torch.nn.Linear(*reversed(lmm.unembedding.shape), bias=False)
    lmm.architecture = Architecture(parts.layers, parts.layers_name, parts.final_norm, other)
    with pytest.raises(VerificationError, match=f"Linear\\) rank .* where the model predicts ' {word}'"):
        lmm.extract(images, word, max_new_tokens=8, verify=1)
    # At other layers there is no ranking to compare.
    assert lmm.extract(images, word, layer=0, max_new_tokens=8, verify=1).manifest["verified"]["n"] == 1


def test_what_cannot_be_verified_is_refused_before_the_work(monkeypatch):
    lmm = build("llava")
    pictures = (pytest.fail("captioned") for _ in range(1))
    monkeypatch.delitem(TOLERANCE, torch.float32)
    with pytest.raises(ValueError, match=r"tolerance of float64, .*the model is in torch\.float32"):
        lmm.extract(pictures, "dog", verify=1)


def test_a_quantised_model_is_compared_as_coarsely_as_it_computes(images, monkeypatch):
    lmm = build("llava")
    states = lmm.extract(images, said_word(lmm, images), max_new_tokens=8)
    states.X = states.X + 0.02 * np.linalg.norm(states.X, axis=1, keepdims=True) / np.sqrt(states.X.shape[1])
    with pytest.raises(VerificationError, match=r"tolerance 1e-04"):
        verify_samples(lmm, states, images, n=2)
    monkeypatch.setattr(lmm.model.config, "quantization_config", {"load_in_8bit": True}, raising=False)
    checked = verify_samples(lmm, states, images, n=2)
    assert 1e-3 < checked["max_relative_error"] < checked["tolerance"] == 0.1


def test_states_that_are_not_confirmed_are_not_lost(images, tmp_path):
    lmm = build("llava")
    word = said_word(lmm, images)
    out = tmp_path / "states"
    confirmed = lmm.extract(images, word, max_new_tokens=8, verify=2, out=out)
    assert States.load(out).manifest == confirmed.manifest
    assert confirmed.manifest["verified"]["n"] == 2
    parts = lmm.architecture
    lmm.architecture = Architecture(parts.layers, parts.layers_name, torch.nn.Identity(), parts.output_embedding)
    with pytest.raises(VerificationError) as raised:
        lmm.extract(images, word, max_new_tokens=8, verify=2, out=out)
    kept = States.load(out)
    np.testing.assert_array_equal(kept.X, confirmed.X)
    assert kept.manifest["verified"] == {"error": str(raised.value)}


def test_normalize_is_the_models_own_in_float32(images):
    lmm = build("llava")
    rows = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    expected = lmm.final_norm(torch.from_numpy(rows)).numpy()
    np.testing.assert_array_equal(lmm.normalize(rows), expected)
    np.testing.assert_array_equal(lmm.normalize(rows[0]), expected[:1])
    np.testing.assert_array_equal(lmm.normalize(rows[::-1]), expected[::-1])
    weight = lmm.final_norm.weight.numpy()
    by_hand = rows / np.sqrt((rows**2).mean(1, keepdims=True) + lmm.final_norm.variance_epsilon) * weight
    np.testing.assert_allclose(lmm.normalize(rows), by_hand, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"n x 32 .* got \(5, 31\)"):
        lmm.normalize(rows[:, :31])


def test_half_precision(images):
    model, processor = tiny_llava()
    lmm = LMM(model.to(torch.bfloat16), processor, prompt=PROMPT)
    assert lmm.unembedding.dtype == np.float32
    rows = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    assert lmm.normalize(rows).dtype == np.float32
    np.testing.assert_allclose(lmm.normalize(rows), build("llava").normalize(rows), rtol=1e-2, atol=1e-2)
    states = lmm.extract(images, said_word(lmm, images), max_new_tokens=8, verify=4)
    assert states.X.dtype == np.float32
    assert states.manifest["dtype"] == "bfloat16"


def test_parts_are_found(lmm):
    text_model = (
        lmm.model.model.text_model if "Idefics3" in type(lmm.model).__name__ else lmm.model.model.language_model
    )
    assert lmm.decoder_layers == list(text_model.layers)
    assert lmm.final_norm is text_model.norm
    assert lmm.n_layers == lmm.model.config.text_config.num_hidden_layers
    np.testing.assert_array_equal(lmm.unembedding, lmm.model.lm_head.weight.detach().numpy())
    assert lmm.model.get_submodule(lmm.architecture.layers_name) is text_model.layers
    assert lmm.layer_index(-1) == lmm.n_layers - 1
    for out_of_range in (lmm.n_layers, -lmm.n_layers - 1):
        with pytest.raises(IndexError, match=str(out_of_range)):
            lmm.layer_index(out_of_range)


def test_an_unsupported_model_is_named():
    model, processor = tiny_llava()
    model.config.text_config.num_hidden_layers = 7
    with pytest.raises(UnsupportedModelError, match=r"LlavaForConditionalGeneration.*ModuleList of 7 layers"):
        LMM(model, processor)


def test_the_model_is_frozen():
    model, processor = tiny_llava()
    lmm = LMM(model.train(), processor)
    assert not lmm.model.training
    assert not any(p.requires_grad for p in lmm.model.parameters())


def test_only_the_projects_own_hook_is_removed(images):
    lmm = build("llava")
    word = said_word(lmm, images)
    calls = []
    layer = lmm.decoder_layers[-1]
    layer.register_forward_hook(lambda *args: calls.append(1))
    layer.register_forward_pre_hook(lambda *args: None)
    foreign = [dict(m._forward_hooks) for m in lmm.model.modules()]
    lmm.extract(images, word, max_new_tokens=8)
    assert [dict(m._forward_hooks) for m in lmm.model.modules()] == foreign
    assert calls
    # Nor does an interrupted extraction leave its own behind.
    layer.register_forward_hook(lambda *args: (_ for _ in ()).throw(KeyboardInterrupt()))
    foreign = [dict(m._forward_hooks) for m in lmm.model.modules()]
    with pytest.raises(KeyboardInterrupt):
        lmm.extract(images, word, max_new_tokens=8)
    assert [dict(m._forward_hooks) for m in lmm.model.modules()] == foreign
    assert len(layer._forward_pre_hooks) == 1


def test_one_vector_a_step_is_kept(lmm, images, monkeypatch):
    stacked = []
    monkeypatch.setattr("coxlmm.generation.torch.stack", lambda kept: stacked.append(kept) or torch.zeros(1))
    generate(lmm, lmm.inputs(images), 4, Record([lmm.decoder_layers[0]]))
    (kept,) = stacked
    assert 1 < len(kept) <= 4
    for vectors in kept:
        assert vectors.shape == (len(images), 32)
        # No view that would keep the states of the whole prompt alive.
        assert vectors.untyped_storage().nbytes() == vectors.numel() * vectors.element_size()


def test_right_padding_is_refused(images):
    lmm = build("idefics3")
    inputs = lmm.inputs(images)
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)
    with pytest.raises(ValueError, match="padded the prompts on the right"):
        generate(lmm, inputs, 4)


def test_captions_are_greedy_whatever_the_checkpoint_says(images):
    lmm = build("llava")
    expected = lmm.caption(images, max_new_tokens=8)
    settings = lmm.model.generation_config
    settings.do_sample, settings.temperature, settings.repetition_penalty = True, 5.0, 3.0
    settings.num_beams, settings.no_repeat_ngram_size = 2, 1
    first = generate(lmm, lmm.inputs(images[:1]), 1).ids[0][0]
    settings.suppress_tokens, settings.bad_words_ids, settings.min_new_tokens = [first], [[first]], 8
    settings.sequence_bias, settings.guidance_scale = [[[first], -100.0]], 3.0
    settings.forced_bos_token_id = settings.forced_eos_token_id = first
    assert lmm.caption(images, max_new_tokens=8) == expected
    assert lmm.model.generation_config is settings
    ids = generate(lmm, lmm.inputs(images[:1]), 8).ids[0]
    for position, token in enumerate(ids):
        assert plain_forward(lmm, images[0], ids[:position]).logits[0, -1].argmax() == token


@pytest.mark.parametrize("name", ["llava", "idefics3"])
def test_saved_and_loaded(name, images, tmp_path, monkeypatch):
    lmm = build(name)
    lmm = LMM(lmm.model, lmm.processor, prompt="one photo of<image>the")
    lmm.save_pretrained(tmp_path / "model")
    loaded = LMM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert type(loaded.model) is type(lmm.model)
    assert loaded.prompt == "one photo of<image>the"
    assert LMM.from_pretrained(tmp_path / "model", prompt="<image>a").prompt == "<image>a"
    assert loaded.model_id == str(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert LMM.from_pretrained("model").model_id == str(tmp_path / "model")
    word = said_word(lmm, images)
    before, after = (m.extract(images, word, max_new_tokens=8) for m in (lmm, loaded))
    assert before.captions == after.captions
    np.testing.assert_allclose(before.X, after.X, rtol=1e-5)


def test_a_directory_of_transformers_own(images, tmp_path):
    model, processor = tiny_llava()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = LMM.from_pretrained(str(tmp_path), prompt=PROMPT)
    assert loaded.caption(images, max_new_tokens=8) == LMM(model, processor, prompt=PROMPT).caption(
        images, max_new_tokens=8
    )


def test_prompts():
    model, processor = tiny_llava()
    assert LMM(model, processor).prompt == "<image>A photo of"
    assert LMM(model, processor, prompt="a dog").prompt == "<image>a dog"
    assert LMM(model, processor, prompt="a <image> dog").prompt == "a <image> dog"
    processor.image_token = "<|picture|>"
    assert LMM(model, processor, prompt="a <image> dog").prompt == "a <|picture|> dog"
    assert build("idefics3").prompt == "user: <image>Describe the image in one sentence.assistant:"


def test_a_chat_template_that_writes_the_first_token(images):
    model, processor = tiny_llava()
    processor.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", processor.tokenizer.bos_token_id)]
    )
    bos = processor.tokenizer.bos_token_id
    for template in (CHAT_TEMPLATE, "{{ bos_token }}" + CHAT_TEMPLATE):
        processor.chat_template = template
        lmm = LMM(model, processor)
        instruction = {"type": "text", "text": "Describe the image in one sentence."}
        expected = processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image", "image": images[0]}, instruction]}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )["input_ids"]  # fmt: skip
        assert (expected == bos).sum() == 1
        assert lmm.inputs(images[:1])["input_ids"].tolist() == expected.tolist()
    # A tokenizer that adds none is not told to leave it out.
    lmm = LMM(*tiny_llava(), prompt="<s><image>a")
    assert (lmm.inputs(images[:1])["input_ids"] == bos).sum() == 1


def test_offloaded_weights_are_read(images):
    here, away = build("llava"), build("llava")
    word = said_word(here, images)
    expected = here.extract(images, word, max_new_tokens=8)
    hooks = pytest.importorskip("accelerate.hooks")
    for part in (away.final_norm, away.model.lm_head):
        weights = {name: weight.clone() for name, weight in part.state_dict().items()}
        hooks.add_hook_to_module(part, hooks.AlignDevicesHook("cpu", offload=True, weights_map=weights))
    assert away.final_norm.weight.is_meta
    np.testing.assert_array_equal(away.unembedding, here.unembedding)
    np.testing.assert_array_equal(away.normalize(expected.X), here.normalize(expected.X))
    states = away.extract(images, word, max_new_tokens=8, verify=2)
    np.testing.assert_array_equal(states.X, expected.X)
    assert away.final_norm.weight.is_meta


def test_weights_without_values_are_refused():
    model, processor = tiny_llava()
    lmm = LMM(model.to("meta"), processor, prompt=PROMPT)
    with pytest.raises(UnsupportedModelError, match=r"weights of Linear are on the meta device.*device_map"):
        _ = lmm.unembedding
    with pytest.raises(UnsupportedModelError, match=r"weights of LlamaRMSNorm are on the meta device.*device_map"):
        lmm.normalize(np.zeros((1, 32)))


def test_tokens_decode_with_their_space():
    tokenizer = byte_level_tokenizer()
    lmm = build("llava")
    assert lmm.decode_token(tokenizer.convert_tokens_to_ids("Ġdog")) == " dog"
    assert lmm.decode_token(np.int64(tokenizer.eos_token_id)) == "</s>"
    assert lmm.decode([tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids("Ġdog")]) == " dog"


def test_a_tokenizer_without_padding_token(images):
    model, processor = tiny_llava()
    expected = LMM(model, processor, prompt=PROMPT).caption(images, max_new_tokens=8)
    processor.tokenizer.pad_token = None
    assert LMM(model, processor, prompt=PROMPT).caption(images, max_new_tokens=8) == expected


def test_arrays_and_exif(tmp_path):
    lmm = build("llava")
    picture = image(3, (16, 16))
    assert lmm.caption([np.asarray(picture)]) == lmm.caption([Sample(picture, "a")]) == lmm.caption([picture])
    wide = image(3, (32, 16))
    assert open_image(picture.convert("L"), 0).mode == open_image(picture.convert("CMYK"), 0).mode == "RGB"
    exif = wide.getexif()
    exif[0x0112] = 6  # the camera was held on its side
    wide.save(tmp_path / "turned.png", exif=exif)
    assert open_image(tmp_path / "turned.png", 0).size == (16, 32)
