"""Models that something is wrapped around: adapters, quantisation, compilation, weights that are elsewhere."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tiny_models import PROMPT, image, tiny_llava

from coxlmm import LMM

PICTURES = [image(i) for i in range(3)]


@pytest.fixture(scope="module")
def plain():
    model, processor = tiny_llava()
    return LMM(model, processor, prompt=PROMPT)


@pytest.fixture(scope="module")
def directory(plain, tmp_path_factory):
    return plain.save_pretrained(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(scope="module")
def expected(plain):
    return everything(plain)


def everything(lmm):
    """Captions, states of a middle and the last layer and of a sublayer, and what text grounding takes."""
    choices = {"position": "prompt", "max_new_tokens": 2}
    states = lmm.extract(PICTURES, None, layer=[1, -1], verify=1, **choices)
    attention = lmm.extract(PICTURES, None, layer=1, stream="attention", **choices)
    last = states[lmm.n_layers - 1].X
    arrays = [states[1].X, last, attention.X, lmm.normalize(last), lmm.logits(last), lmm.unembedding]
    return lmm.caption(PICTURES, max_new_tokens=2), [np.array(a) for a in arrays]


def assert_same(found, expected, tolerance=1e-5):
    assert found[0] == expected[0]
    assert_close(found[1], expected[1], tolerance)


def assert_close(arrays, expected, tolerance):
    for array, its in zip(arrays, expected, strict=True):
        assert array.dtype == np.float32
        assert np.abs(array - its).max() <= tolerance * np.abs(its).max()


@pytest.mark.parametrize("targets", [["q_proj", "v_proj", "down_proj"], ["o_proj", "lm_head"]])
def test_adapters_are_as_if_merged(plain, expected, targets):
    peft = pytest.importorskip("peft")
    torch.manual_seed(5)
    # Initialised as after training: adapters usually start without any effect.
    config = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    model = peft.get_peft_model(deepcopy(plain.model), config)
    lmm = LMM(model, plain.processor, prompt=PROMPT)
    wrapped = everything(lmm)
    merged = LMM(deepcopy(model).merge_and_unload(), plain.processor, prompt=PROMPT)
    assert_same(wrapped, everything(merged), 1e-4)
    # The layers have the names that they have in the model inside, too.
    assert lmm.architecture.layers_name != plain.architecture.layers_name
    for names in (lmm.architecture.layers_name, plain.architecture.layers_name):
        assert lmm.layer_index(f"{names}.1") == 1
    assert np.abs(wrapped[1][1] - expected[1][1]).max() > 0.1


ON_DISK = {"model.vision_tower": "cpu", "model.multi_modal_projector": "cpu", "model.language_model": "disk"}


@pytest.mark.parametrize("devices", ["auto", ON_DISK | {"lm_head": "disk"}, ON_DISK | {"lm_head": "cpu"}, {"": "disk"}])
def test_devices(expected, directory, tmp_path, devices):
    pytest.importorskip("accelerate")
    lmm = LMM.from_pretrained(directory, device_map=devices, offload_folder=tmp_path)
    assert_same(everything(lmm), expected)
    is_elsewhere = devices != "auto"
    assert all(w.is_meta == is_elsewhere for w in lmm.decoder_layers[0].parameters())


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_offloaded_as_a_whole(plain, expected, tmp_path, where):
    accelerate = pytest.importorskip("accelerate")
    model, device = deepcopy(plain.model), torch.device("cpu")
    if where == "cpu":
        accelerate.cpu_offload(model, execution_device=device)
    else:
        accelerate.disk_offload(model, tmp_path, execution_device=device)
    assert_same(everything(LMM(model, plain.processor, prompt=PROMPT)), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision(expected, directory, dtype, tolerance):
    lmm = LMM.from_pretrained(directory, dtype=dtype)
    # Captions may differ where two words are as likely; what was read before them may not.
    assert_close(everything(lmm)[1], expected[1], tolerance)
    weights = lmm.model.get_output_embeddings().weight
    np.testing.assert_array_equal(lmm.unembedding, weights.float().numpy())


def compiled_whole(model):
    return torch.compile(model, backend="eager")


def compiled_decoder(model):
    model.model.language_model = torch.compile(model.model.language_model, backend="eager")
    return model


def compiled_layers(model):
    for layer in model.model.language_model.layers:
        layer.compile(backend="eager")
    return model


@pytest.mark.parametrize("compiled", [compiled_whole, compiled_decoder, compiled_layers])
def test_compiled_before_there_are_hooks(plain, expected, compiled):
    torch._dynamo.reset()
    lmm = LMM(compiled(deepcopy(plain.model)), plain.processor, prompt=PROMPT)
    lmm.caption(PICTURES, max_new_tokens=2)
    assert_same(everything(lmm), expected)
    assert lmm.architecture.layers_name == "model.language_model.layers"


def test_quantised(directory):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    lmm = LMM.from_pretrained(
        directory, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(load_in_8bit=True)
    )
    # One image at a time: which columns are outliers, and so not quantised, is decided for the whole batch.
    states = lmm.extract(PICTURES, None, position="prompt", layer=[1, -1], max_new_tokens=2, batch_size=1, verify=3)
    for row, picture in enumerate(PICTURES):
        with torch.inference_mode():
            outputs = lmm.model(**lmm.inputs([picture]), output_hidden_states=True)
        expected = outputs.hidden_states[2][0, -1].float().numpy()
        np.testing.assert_allclose(states[1].X[row], expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())
    weights = lmm.model.get_output_embeddings().weight
    np.testing.assert_array_equal(lmm.unembedding, weights.float().numpy())
    assert type(lmm.decoder_layers[0].mlp.up_proj).__name__ == "Linear8bitLt"


def test_a_quantised_output_embedding(expected, directory):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["model"])
    lmm = LMM.from_pretrained(directory, dtype=torch.bfloat16, quantization_config=config)
    assert lmm.model.lm_head.weight.dtype == torch.int8
    assert_close([lmm.unembedding], [expected[1][-1]], 1e-2)
    states = expected[1][1]
    assert_close([lmm.normalize(states) @ lmm.unembedding.T], [lmm.logits(states)], 2e-2)
    word = lmm.caption(PICTURES[:1], max_new_tokens=1)[0]
    checked = lmm.extract(PICTURES[:1], word, max_new_tokens=1, verify=1).manifest["verified"]
    assert checked["max_relative_error"] < 2e-2


def test_quantised_to_4_bits(tmp_path):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    # Its kernels for processors ask for dimensions in multiples of 32.
    model, processor = tiny_llava(hidden_size=64, intermediate_size=128)
    LMM(model, processor, prompt=PROMPT).save_pretrained(tmp_path)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )
    lmm = LMM.from_pretrained(tmp_path, dtype=torch.float32, quantization_config=config)
    dequantised = deepcopy(model)
    for name, module in lmm.model.named_modules():
        if type(module).__name__ == "Linear4bit":
            weight = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            dequantised.get_submodule(name).weight.data = weight.float()
    _, arrays = everything(lmm)
    _, expected = everything(LMM(dequantised, processor, prompt=PROMPT))
    assert_close(arrays, expected, 5e-2)  # the kernels compute in bfloat16
    _, original = everything(LMM(model, processor, prompt=PROMPT))
    assert np.abs(arrays[0] - original[0]).max() > 0.1 * np.abs(original[0]).max()
    assert type(lmm.decoder_layers[0].mlp.up_proj).__name__ == "Linear4bit"


def test_settings_of_generation_stay_where_they_are(plain):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(deepcopy(plain.model), config)
    inside = wrapped.get_base_model()
    settings = inside.generation_config
    settings.do_sample, settings.temperature = True, 50.0
    lmm = LMM(wrapped, plain.processor, prompt=PROMPT)
    # Without effect at first, as adapters are.
    assert lmm.caption(PICTURES, max_new_tokens=6) == plain.caption(PICTURES, max_new_tokens=6)
    assert inside.generation_config is settings
    assert "generation_config" not in vars(wrapped)
