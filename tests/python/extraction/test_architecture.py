"""Parts of real architectures at their default sizes, built without memory for their weights."""

import pytest
import torch
from transformers import AutoModelForImageTextToText, OPTConfig, OPTForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from coxlmm.architecture import Architecture, UnsupportedModelError


def build(name):
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(CONFIG_MAPPING[name]())


@pytest.mark.parametrize(
    ("name", "decoder", "norm"),
    [
        ("llava_next", "model.language_model", "norm"),
        ("qwen2_5_vl", "model.language_model", "norm"),
        ("gemma3", "model.language_model", "norm"),
        ("paligemma", "model.language_model", "norm"),
        ("smolvlm", "model.text_model", "norm"),
        ("internvl", "model.language_model", "norm"),
        ("blip-2", "language_model.model.decoder", "final_layer_norm"),
        # Norms after each sublayer, and no final one.
        ("git", "git.encoder", None),
        # An encoder-decoder whose encoder is as deep as its decoder.
        ("florence2", "model.language_model.decoder", None),
    ],
)
def test_parts(name, decoder, norm):
    model = build(name)
    decoder = model.get_submodule(decoder)
    parts = Architecture.of(model)
    assert parts.layers is (decoder.layer if name == "git" else decoder.layers)
    assert model.get_submodule(parts.layers_name) is parts.layers
    assert len(parts.layers) == model.config.get_text_config(decoder=True).num_hidden_layers
    assert parts.output_embedding is model.get_output_embeddings()
    if norm is None:
        assert isinstance(parts.final_norm, torch.nn.Identity)
    else:
        assert parts.final_norm is getattr(decoder, norm)


def test_a_decoder_that_is_whole_in_itself():
    model = build("blip")
    parts = Architecture.of(model)
    head = model.text_decoder.cls.predictions
    assert parts.layers is model.text_decoder.bert.encoder.layer
    assert (parts.final_norm, parts.output_embedding) == (head.transform, head.decoder)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, ["final_layer_norm"]),
        ({"do_layer_norm_before": False}, []),  # OPT-350m, which has the projection too
        ({"do_layer_norm_before": False, "word_embed_proj_dim": 8}, ["project_out"]),
        ({"word_embed_proj_dim": 8}, ["final_layer_norm", "project_out"]),
    ],
)
def test_opt_with_and_without_norm_and_projection(settings, parts):
    sizes = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}
    model = OPTForCausalLM(OPTConfig(**sizes, **{"word_embed_proj_dim": 16} | settings)).eval()
    found = Architecture.of(model)
    assert found.n_features == 16
    decoder = model.model.decoder
    captured = []
    decoder.layers[-1].register_forward_hook(lambda module, args, output: captured.append(output))
    with torch.no_grad():
        logits = model(torch.arange(5)[None]).logits
        torch.testing.assert_close(found.project(found.final_norm(captured[0])), logits)
    expected = [getattr(decoder, name) for name in parts]
    modules = list(found.final_norm) if isinstance(found.final_norm, torch.nn.Sequential) else [found.final_norm]
    assert modules == expected or (not expected and isinstance(found.final_norm, torch.nn.Identity))


class Stack(torch.nn.Module):
    def __init__(self, norms=("norm",)):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
        for name in norms:
            self.add_module(name, torch.nn.LayerNorm(2))


class Homemade(torch.nn.Module):
    """A model with the accessors and nothing else: its vision tower is as deep as its text model, and comes first."""

    def __init__(self, **text):
        super().__init__()
        self.vision_tower = Stack()
        self.draft = Stack()
        self.text = torch.nn.ModuleDict({"inner": torch.nn.ModuleDict({"model": Stack(**text)})})
        self.head = torch.nn.Linear(2, 5)

    class config:
        is_encoder_decoder = False
        num_hidden_layers = 3

        @classmethod
        def get_text_config(cls, decoder):
            return cls

    def get_decoder(self):
        return self if self.draft is None else self.text

    def get_output_embeddings(self):
        return self.head


def test_the_decoder_is_the_models_own_choice():
    model = Homemade()
    parts = Architecture.of(model)
    assert parts.layers is model.text["inner"]["model"].layers
    assert parts.final_norm is model.text["inner"]["model"].norm


def test_a_vision_tower_is_not_the_decoder():
    model = Homemade()
    model.draft = None
    assert Architecture.of(model).layers is model.text["inner"]["model"].layers


def test_a_missing_norm_is_not_made_up():
    with pytest.raises(UnsupportedModelError, match=r"Stack: found no final norm"):
        Architecture.of(Homemade(norms=()))


def test_several_norms():
    model = Homemade(norms=("norm", "layernorm_embedding", "ffn_norm"))
    assert Architecture.of(model).final_norm is model.text["inner"]["model"].norm
    with pytest.raises(UnsupportedModelError, match=r"Stack: .* \(one_norm, other_norm\)"):
        Architecture.of(Homemade(norms=("one_norm", "other_norm")))
