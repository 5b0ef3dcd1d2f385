"""Where the parts of a language model are: its decoder layers, its final norm, its output embedding."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

# Names of the final norm beside the layers, for the few decoders that keep more than one norm there.
_FINAL_NORM_NAMES = ("norm", "final_norm", "final_layernorm", "final_layer_norm", "ln_f", "norm_f", "layer_norm")
# Decoders that apply nothing between their last layer and the output embedding: each sublayer ends with a norm.
_WITHOUT_FINAL_NORM = ("BartDecoder", "BertEncoder", "BlipTextEncoder", "GitEncoder", "RobertaEncoder")
# Parts of a multimodal model that hold stacks of layers of their own, which are not the decoder's.
_OTHER_STACKS = ("vision", "visual", "image", "audio", "qformer", "perceiver", "resampler", "connector", "projector")
# What decoder layers call their sublayers. Those of BERT's and T5's kinds wrap them, residual connection and norm
# included; layers with the two matrices of the feed-forward part among their own children (OPT, BART) have its output
# in the second one.
_WRAPPED_ATTENTION = ("attention.output.dense", "layer.0.SelfAttention", "self_attention.attention")
_WRAPPED_MLP = ("output.dense", "layer.2.DenseReluDense", "mlp.DenseReluDense")
_PLAIN_ATTENTION = ("self_attn", "attention", "attn", "self_attention", "linear_attn", "temporal_block", "cross_attn")
_PLAIN_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "moe", "fc2")
_SUBLAYERS = {"attention": _WRAPPED_ATTENTION + _PLAIN_ATTENTION, "mlp": _WRAPPED_MLP + _PLAIN_MLP}


class UnsupportedModelError(ValueError):
    """A part of the model that is needed was not found; the message lists what was looked for."""


@dataclass(frozen=True)
class Architecture:
    """The parts of the language model inside a multimodal one.

    Attributes
    ----------
    layers : ModuleList
        The decoder layers in order.
    layers_name : str
        Their name in the model, for messages and manifests.
    final_norm : Module
        What the model applies to the last layer's output before the output embedding; ``Identity`` when it applies
        nothing.
    output_embedding : Module
        The linear map to the vocabulary; its ``weight`` is ``W_U``, vocabulary x features.
    """

    layers: nn.ModuleList
    layers_name: str
    final_norm: nn.Module
    output_embedding: nn.Module

    @property
    def n_features(self) -> int:
        """Width of the residual stream."""
        return self.output_embedding.weight.shape[1]

    def part(self, layer: int, stream: str) -> nn.Module:
        """A decoder layer, or its sublayer for "attention" or "mlp"; see :meth:`coxlmm.LMM.module_of`."""
        module = self.layers[layer]
        if stream == "residual":
            return module
        children = dict(module.named_children())
        parts = dict(module.named_modules())
        for name in _SUBLAYERS[stream]:
            if name in parts:
                return parts[name]
        raise UnsupportedModelError(
            f"{type(module).__name__} has no part known as its {stream}: looked for {', '.join(_SUBLAYERS[stream])}, "
            f"it has {', '.join(children)}"
        )

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Architecture":
        """Finds the parts through the model's own accessors.

        The layers are the outermost ``ModuleList`` under ``model.get_decoder()`` that is as long as the text
        configuration says the decoder is deep; the final norm is the norm beside them.

        Raises
        ------
        UnsupportedModelError
            If a part is missing.
        """
        depth = _depth(model)
        decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
        others = (*_OTHER_STACKS, "encoder") if model.config.is_encoder_decoder else _OTHER_STACKS
        found = _find_layers(decoder, depth, others)
        if found is None:
            raise UnsupportedModelError(
                f"{type(model).__name__}: found no decoder layers. Looked under get_decoder() "
                f"({type(decoder).__name__}) for a ModuleList of {depth} layers (num_hidden_layers of the text "
                f"configuration), outside the parts named {', '.join(others)}"
            )
        parent, layers = found
        names = {id(module): name for name, module in model.named_modules(remove_duplicate=False)}
        embedding = _output_embedding(model, decoder)
        return cls(layers, names.get(id(layers), ""), _final_norm(model, parent, embedding), embedding)


@contextmanager
def loaded_weights(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` with its weights in memory, which those that accelerate has offloaded are only while they are used.

    Raises
    ------
    UnsupportedModelError
        If there are no weights at all.
    """
    if not _is_empty(module):
        yield module
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        if _is_empty(module):
            raise UnsupportedModelError(
                f"the weights of {type(module).__name__} are on the meta device, without values: load the model with a "
                f'device_map ("auto", "cpu", "cuda") that keeps its final norm and output embedding in memory'
            )
        yield module


def _is_empty(module: nn.Module) -> bool:
    return any(weight.is_meta for weight in module.state_dict(keep_vars=True).values())


def _depth(model: PreTrainedModel) -> int:
    try:
        config = model.config.get_text_config(decoder=True)
    except ValueError as error:
        raise UnsupportedModelError(f"{type(model).__name__}: {error}") from error
    # An encoder-decoder counts its decoder's layers apart; get_text_config() does not look so far into a nested one.
    text = model.config if isinstance(config, type(model.config)) else config
    names = ["num_decoder_layers", "decoder_layers"] if text.is_encoder_decoder else []
    depth = next((n for name in names if isinstance(n := getattr(text, name, None), int)), None)
    depth = getattr(config, "num_hidden_layers", None) if depth is None else depth
    if not isinstance(depth, int):
        raise UnsupportedModelError(
            f"{type(model).__name__}: its text configuration ({type(config).__name__}) has no num_hidden_layers"
        )
    return depth


def _find_layers(root: nn.Module, depth: int, others: tuple[str, ...]) -> tuple[nn.Module, nn.ModuleList] | None:
    queue = deque([root])
    while queue:
        module = queue.popleft()
        for name, child in module.named_children():
            if any(part in name.lower() for part in others):
                continue
            if isinstance(child, nn.ModuleList) and len(child) == depth:
                return module, child
            queue.append(child)
    return None


def _final_norm(model: PreTrainedModel, parent: nn.Module, embedding: nn.Module) -> nn.Module:
    # BERT and its kin end with a transformation that their head keeps beside the output embedding.
    for head in model.modules():
        if embedding in head.children() and isinstance(getattr(head, "transform", None), nn.Module):
            return head.transform
    # BART and its kin keep the norm of their embeddings there too, and some of them no other. LFM2's final norm is
    # called embedding_norm.
    norms = {
        name: child
        for name, child in parent.named_children()
        if "norm" in type(child).__name__.lower() and ("emb" not in name or name == "embedding_norm")
    }
    if len(norms) == 1:
        return next(iter(norms.values()))
    for name in _FINAL_NORM_NAMES:
        if name in norms:
            return norms[name]
    if norms:
        raise UnsupportedModelError(
            f"{type(parent).__name__}: cannot tell which of its norms ({', '.join(norms)}) is the final one; "
            f"looked for {', '.join(_FINAL_NORM_NAMES)}"
        )
    if type(parent).__name__ in _WITHOUT_FINAL_NORM:
        return nn.Identity()
    raise UnsupportedModelError(
        f"{type(parent).__name__}: found no final norm beside its layers (a part whose class is called a norm), and it "
        f"is not one of the decoders known to have none ({', '.join(_WITHOUT_FINAL_NORM)})"
    )


def _output_embedding(model: PreTrainedModel, decoder: nn.Module) -> nn.Module:
    embedding = model.get_output_embeddings()
    if embedding is None and hasattr(decoder, "get_output_embeddings"):  # BLIP: the decoder inside is whole in itself
        embedding = decoder.get_output_embeddings()
    weight = getattr(embedding, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        raise UnsupportedModelError(
            f"{type(model).__name__}: get_output_embeddings() gave {type(embedding).__name__}, which has no weight "
            f"matrix in floating point"
        )
    return embedding


def image_token_id(model: PreTrainedModel, processor: Any) -> int | None:
    """The token that stands for a visual token in a prompt, where there is one."""
    for owner in (model.config, processor, getattr(processor, "tokenizer", None)):
        for name in ("image_token_id", "image_token_index"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    return None
