"""From states to the vocabulary: what models do between their last layer and their logits."""

import numpy as np
import pytest
import torch
from tiny_models import PROMPT, tiny_llava
from torch import nn
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

from coxlmm import LMM, _core
from coxlmm.grounding import ground_words

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}
ENCODER_DECODER = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "vocab_size": 60, "d_model": 16}


def gemma(**settings):
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, **settings))


def cohere():
    return Cohere2ForCausalLM(Cohere2Config(**SIZES, logit_scale=0.25))


def granite():
    return GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=4.0))


def t5():
    settings = {"d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "tie_word_embeddings": True}
    model = T5ForConditionalGeneration(T5Config(**ENCODER_DECODER | settings))
    assert model.config.scale_decoder_outputs
    return model


def marian():
    """A bias of its own on every token, and no final norm."""
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = MarianMTModel(MarianConfig(**ENCODER_DECODER, **layers, encoder_ffn_dim=8, decoder_ffn_dim=8))
    nn.init.normal_(model.final_logits_bias)
    return model


def llava():
    return tiny_llava()[0]


@pytest.mark.parametrize(
    ("build", "is_plain"),
    [
        (llava, True),
        (lambda: gemma(final_logit_softcapping=None), True),
        (lambda: gemma(final_logit_softcapping=2.0), False),
        (cohere, False),
        (granite, False),
        (t5, False),
        (marian, False),
    ],
    ids=["llava", "tied", "softly capped", "scaled", "divided", "scaled before", "bias"],
)
def test_logits_are_the_models(build, is_plain):
    torch.manual_seed(1)
    model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and parameter.ndim == 1:  # a norm of ones would hide one that is applied twice
                parameter.uniform_(0.5, 1.5)
    modules = {"final_norm": None} if build is marian else {}
    lmm = LMM(model, tiny_llava()[1], prompt=PROMPT, modules=modules)
    states = []
    lmm.decoder_layers[-1].register_forward_hook(
        lambda module, args, output: states.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    with torch.no_grad():
        logits = model(ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})).logits
    rows, logits = states[0].flatten(0, 1).numpy(), logits.flatten(0, 1).numpy()
    found = lmm.logits(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(lmm.logits(rows[0]), logits[:1], rtol=1e-4, atol=1e-5)
    product = lmm.normalize(rows) @ lmm.unembedding.T
    assert np.allclose(product, logits, rtol=1e-4, atol=1e-5) == is_plain
    if build is not marian:
        np.testing.assert_array_equal(product.argmax(axis=1), logits.argmax(axis=1))
    with pytest.raises(ValueError, match=r"states must be n x \d+ for this model, got \(5, 3\)"):
        lmm.logits(np.zeros((5, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_grounding_reads_the_models_own_matrix(dtype, monkeypatch):
    model, processor = tiny_llava()
    lmm = LMM(model.to(dtype), processor, prompt=PROMPT)
    weights = model.lm_head.weight
    given = []
    original = _core.ground_text
    monkeypatch.setattr(_core, "ground_text", lambda *args: given.append(args[1]) or original(*args))
    directions = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    found = ground_words(directions, lmm, n_words=4)
    assert given[0].data_ptr() == weights.data_ptr()  # not a copy of it
    scores = np.sort(lmm.normalize(directions) @ lmm.unembedding.T, axis=1)
    # No word scores higher than the best token, and the scores are products in float32.
    for words, row in zip(found, scores, strict=True):
        assert all(np.isclose(row, score, rtol=1e-5).any() for _, score in words)
