"""A model of remote code: it generates text from images, and has none of transformers' accessors for its parts."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny_models import PROMPT, image, tiny_llava
from torch import nn
from transformers import GenerationMixin, LlamaConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from coxlmm import LMM
from coxlmm.architecture import UnsupportedModelError

NAMES = {"layers": "transformer.blocks", "final_norm": "transformer.out_scale", "output_embedding": "head"}


class HomemadeConfig(PreTrainedConfig):
    model_type = "homemade"

    def __init__(self, vocab_size=10, width=16, depth=3, image_token=0, tied=False, **kwargs):
        self.vocab_size, self.width, self.depth, self.image_token_id = vocab_size, width, depth, image_token
        self.tied = tied
        super().__init__(**kwargs)

    def get_text_config(self, decoder=None, encoder=None):
        return self


class Block(nn.Module):
    """What a position says of itself and of the mean of those before it."""

    def __init__(self, width):
        super().__init__()
        self.mixing = nn.Linear(width, width)
        self.thinking = nn.Linear(width, width)

    def forward(self, x):
        means = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        x = x + self.mixing(means)
        return (x + torch.tanh(self.thinking(x)), None)


class Scale(nn.Module):
    """A final norm that is not called one."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x):
        return self.weight * x / x.std(-1, keepdim=True)


class Homemade(PreTrainedModel, GenerationMixin):
    config_class = HomemadeConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.pixels = nn.Linear(3 * 16 * 16, config.width)
        blocks = nn.ModuleList(Block(config.width) for _ in range(config.depth))
        self.transformer = nn.ModuleDict({"words": nn.Embedding(config.vocab_size, config.width), "blocks": blocks})
        self.transformer["out_scale"] = Scale(config.width)
        self.head = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def _prepare_cache_for_generation(self, *args):  # it has none
        pass

    def prepare_inputs_for_generation(self, input_ids, pixel_values=None, **kwargs):
        return {"input_ids": input_ids, "pixel_values": pixel_values}

    def forward(self, input_ids, pixel_values=None, attention_mask=None, output_hidden_states=False, **kwargs):
        x = self.transformer["words"](input_ids)
        if pixel_values is not None:
            x = torch.where(
                (input_ids == self.config.image_token_id)[..., None], self.pixels(pixel_values.flatten(1))[:, None], x
            )
        hidden = [x]
        for block in self.transformer["blocks"]:
            x = block(x)[0]
            hidden.append(x)
        hidden[-1] = x = self.transformer["out_scale"](x)
        logits = x @ self.transformer["words"].weight.T if self.config.tied else self.head(x)
        return CausalLMOutputWithPast(logits=4 * torch.tanh(logits / 4), hidden_states=tuple(hidden))


@dataclass
class Built:
    model: Homemade
    processor: object


@pytest.fixture
def built():
    _, processor = tiny_llava()
    tokenizer = processor.tokenizer
    torch.manual_seed(3)
    model = Homemade(HomemadeConfig(len(tokenizer), image_token=tokenizer.convert_tokens_to_ids("<image>")))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Built(model, processor)


def test_what_was_looked_for_and_how_to_name_it(built):
    with pytest.raises(UnsupportedModelError) as raised:
        LMM(built.model, built.processor)
    message = str(raised.value)
    assert "Homemade: its text configuration (HomemadeConfig) has no num_hidden_layers" in message
    assert 'modules={"layers": "...", "final_norm": "...", "output_embedding": "..."}' in message
    assert "transformer.blocks (3 Block)" in message
    # What is named is not looked for; what is not, is.
    with pytest.raises(UnsupportedModelError, match=r"no output embedding. Looked for get_output_embeddings\(\)"):
        LMM(built.model, built.processor, modules={"layers": "transformer.blocks"})
    with pytest.raises(UnsupportedModelError, match=r"no final norm beside its layers"):
        LMM(built.model, built.processor, modules={"layers": "transformer.blocks", "output_embedding": "head"})


def test_extraction_with_named_modules(built):
    lmm = LMM(built.model, built.processor, prompt=PROMPT, modules=NAMES)
    pictures = [image(i) for i in range(6)]
    states = lmm.extract(
        pictures, None, position="prompt", layer=["transformer.blocks.1", -1], max_new_tokens=4, verify=3
    )
    inputs = lmm.inputs(pictures)
    with torch.no_grad():
        outputs = built.model(**inputs, output_hidden_states=True)
    np.testing.assert_allclose(states[1].X, outputs.hidden_states[2][:, -1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(lmm.normalize(states[2].X), outputs.hidden_states[3][:, -1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(lmm.logits(states[2].X), outputs.logits[:, -1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(lmm.unembedding, built.model.head.weight)
    assert states[1].manifest["layer_name"] == "transformer.blocks.1"


def test_an_embedding_that_reads_and_writes(built):
    built.model.config.tied = True
    words = built.model.transformer["words"]
    lmm = LMM(built.model, built.processor, prompt=PROMPT, modules=NAMES | {"output_embedding": "transformer.words"})
    pictures = [image(i) for i in range(4)]
    word = lmm.caption(pictures[:1], max_new_tokens=1)[0].split()[0]
    states = lmm.extract(pictures, word, max_new_tokens=1, verify=4)
    np.testing.assert_array_equal(lmm.unembedding, words.weight)
    product = lmm.normalize(states.X) @ lmm.unembedding.T
    np.testing.assert_allclose(lmm.logits(states.X), 4 * np.tanh(product / 4), rtol=1e-4, atol=1e-5)


def test_modules_themselves_and_no_norm(built):
    model = built.model
    given = {"layers": model.transformer["blocks"], "final_norm": None, "output_embedding": model.head}
    lmm = LMM(model, built.processor, modules=given)
    assert lmm.decoder_layers == list(model.transformer["blocks"])
    assert lmm.architecture.layers_name == "transformer.blocks"
    rows = np.ones((2, 16), np.float32)
    np.testing.assert_array_equal(lmm.normalize(rows), rows)


def test_sublayers_by_name(built):
    lmm = LMM(built.model, built.processor, modules=NAMES)
    with pytest.raises(UnsupportedModelError, match=r'it has mixing, thinking.*modules=\{"attention": "..."\}'):
        lmm.module_of(1, "attention")
    lmm = LMM(built.model, built.processor, modules=NAMES | {"attention": "mixing", "mlp": "thinking"})
    assert lmm.module_of(1, "attention") is lmm.decoder_layers[1].mixing
    assert lmm.module_of(2, "mlp") is lmm.decoder_layers[2].thinking


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"layer": "transformer.blocks"}, r"modules has 'layer'; what can be named is layers, final_norm"),
        ({"layers": "transformer.block"}, r"no module 'transformer.block' \(layers\)\n.*transformer.blocks"),
        ({"layers": "head"}, r"layers must be a ModuleList or a Sequential, 'head' is Linear"),
        ({"output_embedding": nn.Linear(2, 2)}, r"output_embedding must be a module of the model or its name"),
        ({"layers": None}, r"layers must be a module of the model or its name, got None"),
        ({"attention": nn.Linear(2, 2)}, r"'attention' must be a name within a layer"),
    ],
)
def test_names_that_are_none(built, modules, message):
    with pytest.raises(ValueError, match=message):
        LMM(built.model, built.processor, modules=modules)


def test_the_model_must_generate_and_the_processor_take_images(built):
    with pytest.raises(UnsupportedModelError, match=r"LlavaModel does not generate text"):
        LMM(tiny_llava()[0].model, built.processor)
    with pytest.raises(UnsupportedModelError, match=r"is a tokenizer alone.*AutoProcessor"):
        LMM(built.model, built.processor.tokenizer, modules=NAMES)
    with pytest.raises(UnsupportedModelError, match=r"CLIPImageProcessorPil has no tokenizer"):
        LMM(built.model, built.processor.image_processor, modules=NAMES)


def test_a_misspelt_directory(tmp_path):
    with pytest.raises(OSError, match=rf"no directory {tmp_path}/lava, and no model could be loaded from a repository"):
        LMM.from_pretrained(tmp_path / "lava", local_files_only=True)
    _, processor = tiny_llava()
    processor.save_pretrained(tmp_path / "llava")
    with pytest.raises((OSError, ValueError)) as raised:  # a directory that is there is not said to be missing
        LMM.from_pretrained(tmp_path / "llava")
    assert "no directory" not in str(raised.value)


def test_a_directory_of_a_text_model(tmp_path):
    tiny_llava()[1].tokenizer.save_pretrained(tmp_path)
    LlamaConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"is a tokenizer alone"):
        LMM.from_pretrained(tmp_path)
