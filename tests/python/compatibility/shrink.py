"""Any image-text architecture of transformers at a size that a test can afford: real classes, random weights."""

import copy
from typing import Any

import torch
from tiny_models import WORDS
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TEXT_LAYERS, OTHER_LAYERS = 4, 2  # 4: long enough for the patterns in which decoders mix kinds of layers
WIDTH = 32  # of every residual stream, so that whatever connects two of them fits
IMAGE, PATCH = 32, 8  # pixels
TINY = {
    **dict.fromkeys(("hidden_size", "embed_dim", "out_hidden_size", "d_model", "projection_dim", "vision_output_dim",
                     "word_embed_proj_dim", "encoder_hidden_size", "patch_embed_hidden_size", "projector_hidden_size",
                     "alignment_intermediate_size", "text_hidden_size", "projector_input_dim", "projector_output_dim",
                     "embedding_size"), WIDTH),
    **dict.fromkeys(("intermediate_size", "intermediate_size_mlp", "moe_intermediate_size", "ffn_dim",
                     "shared_expert_intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff"), 48),
    **dict.fromkeys(("num_attention_heads", "num_heads", "attention_heads", "resampler_n_heads",
                     "linear_num_value_heads", "encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "resampler_n_latents"), 2),
    **dict.fromkeys(("head_dim", "global_head_dim", "resampler_head_dim", "linear_key_head_dim",
                     "linear_value_head_dim", "query_pre_attn_scalar", "d_kv", "hidden_size_per_layer_input",
                     "laurel_rank"), 8),
    **dict.fromkeys(("num_local_experts", "num_experts", "moe_num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk"), 2),
    **dict.fromkeys(("num_hidden_layers", "depth", "resampler_depth", "num_global_layers",
                     "encoder_layers"), OTHER_LAYERS),
    **dict.fromkeys(("decoder_layers", "num_layers", "num_decoder_layers", "layers"), TEXT_LAYERS),
    # Lists of layers.
    "deepstack_visual_indexes": [0],
    "fullatt_block_indexes": [1],
    "intermediate_layers_indices": [0],
    "cross_attention_layers": [1],
    # Shorter than a prompt.
    "sliding_window": 16,
    "attention_chunk_size": 16,
    "image_size": IMAGE,
    "patch_size": PATCH,
    "num_position_embeddings": (IMAGE // PATCH) ** 2,
    "window_size": 2 * PATCH * 2,
    "max_position_embeddings": 512,
}  # fmt: skip
# Lists that say something of every layer: the configuration works them out anew for fewer layers.
DERIVED = ("layer_types", "moe_layers", "no_rope_layers", "per_layer_config", "transformers_version")
TEXT = ("text_config", "llm_config", "language_config", "thinker_config")


def shrink(
    model_type: str, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any] | None = None
) -> PreTrainedConfig:
    """The configuration of ``model_type`` with every size replaced by a tiny one, in all nested configurations.

    Sizes go by their names in ``TINY``; ``settings`` (nested like the configuration) have the last word. Token ids
    (``image_token_id``, ``boi_token_index``, ...) become those of the tokenizer's token of the same name, which is
    added to it where it has none.
    """
    config_class = CONFIG_MAPPING[model_type]
    values = _shrunk(config_class().to_dict(), tokenizer, is_text=not _has_text(config_class().to_dict()))
    values = _merged(values, settings or {})
    _set_vocabulary(values, len(tokenizer))
    return config_class(**values)


def build(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> PreTrainedModel:
    """The model class that transformers has for ``config``, with random weights under which images matter.

    Default initialisations leave an untrained residual stream at little more than the embedding of its own token;
    here every matrix keeps the size of what it multiplies. Norms are not all ones, which would hide one that is
    applied twice, and gates are open. It speaks in whole words: the other tokens' logits are scaled down.
    """
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config).float()
    randomize(model, tokenizer)
    return model.eval()


@torch.no_grad()
def randomize(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Draws the weights of ``model`` as :func:`build` says, from torch's generator."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            parameter.normal_(0, 1.0 if "embed" in name else 1.5 / parameter[0].numel() ** 0.5)
        elif "norm" in name and "bias" not in name:
            parameter.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.1)
        elif "gate" in name and parameter.numel() == 1:
            parameter.fill_(1.0)
    embedding = model.get_output_embeddings()
    if embedding is not None:
        if embedding.weight is model.get_input_embeddings().weight:
            embedding.weight /= WIDTH**0.5  # else every token predicts itself
        texts = [tokenizer.decode([i]) for i in range(len(tokenizer))]
        words = {f" {word}" for word in WORDS}
        words = words if words & set(texts) else set(WORDS)  # WordPiece's have no space
        silent = [i for i, text in enumerate(texts) if text not in words]
        silent += range(len(tokenizer), len(embedding.weight))
        embedding.weight[silent] *= 0.1
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id


def _has_text(values: dict[str, Any]) -> bool:
    return any(isinstance(values.get(key), dict) for key in TEXT)


def _shrunk(values: dict[str, Any], tokenizer: PreTrainedTokenizerBase, is_text: bool) -> dict[str, Any]:
    shrunk = {}
    for key, value in values.items():
        if key in DERIVED:
            continue
        if isinstance(value, dict) and "model_type" in value:
            shrunk[key] = _shrunk(value, tokenizer, is_text=key in TEXT)
        elif key.endswith(("_token_id", "_token_index")) and key[0] != "_":
            shrunk[key] = token_id(tokenizer, key.rpartition("_token_")[0] + "_token")
        elif key == "num_hidden_layers" and is_text:
            shrunk[key] = TEXT_LAYERS
        elif key in TINY and value is not None:
            size = TINY[key]
            each = isinstance(value, (list, tuple)) and not isinstance(size, list)
            shrunk[key] = [size] * len(value) if each else copy.copy(size)
        else:
            shrunk[key] = copy.deepcopy(value)
    return shrunk


def token_id(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    """The id of the tokenizer's special token called ``name``; made up where there is none."""
    token = getattr(tokenizer, name, None)
    if token is None:
        token = f"<|{name}|>"
        tokenizer.add_special_tokens({"extra_special_tokens": [token]}, replace_extra_special_tokens=False)
    return tokenizer.convert_tokens_to_ids(token)


def _merged(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in settings.items():
        nested = isinstance(value, dict) and isinstance(values.get(key), dict) and "model_type" not in value
        merged[key] = _merged(values[key], value) if nested else value
    return merged


def _set_vocabulary(values: dict[str, Any], size: int) -> None:
    for key, value in values.items():
        if key == "vocab_size":
            values[key] = size
        elif isinstance(value, dict):
            _set_vocabulary(value, size)
