"""Small models that judge: a CLIP and a SigLIP of random weights."""

import torch
from tiny_models import SPECIAL, byte_level_tokenizer
from tokenizers import processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

LONGEST = 24  # tokens
WORDS = ["A", "photo", "is", "described", "by", "the", "words", "a", "dog", "cat", "red", "blue", "on", "grass"]
_TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_TOWER, "image_size": 16, "patch_size": 8}


def _tokenizer():
    tokenizer = byte_level_tokenizer(WORDS)
    tokenizer.model_max_length = 10**6
    end = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", end)]
    )
    return tokenizer


def _text(tokenizer) -> dict:
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in zip(names, SPECIAL[:3], strict=True)}
    return {**_TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": LONGEST, **ids}


def tiny_clip():
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=_text(tokenizer), vision_config=_VISION, projection_dim=8))
    sides = {"height": 16, "width": 16}
    return _varied(model), CLIPProcessor(CLIPImageProcessorPil(size=sides, crop_size=sides), tokenizer)


def tiny_siglip():
    tokenizer = _tokenizer()
    tokenizer.model_input_names = ["input_ids"]  # as those that SigLIP comes with
    torch.manual_seed(1)
    model = SiglipModel(SiglipConfig(text_config=_text(tokenizer) | {"projection_size": 16}, vision_config=_VISION))
    return _varied(model), SiglipProcessor(SiglipImageProcessorPil(size={"height": 16, "width": 16}), tokenizer)


def _varied(model):
    """With weights so large that what it makes of a text or an image depends on the text or the image."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return model.eval()
