"""Where the parts of a language model are: its decoder layers, its final norm, its output embedding."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
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
# What decoder layers call their sublayers. Hybrids have linear attention or a short convolution (LFM2) in some layers
# instead of attention, Mllama attention to the image alone. BERT's and T5's kinds wrap their sublayers, residual
# connection and norm included; layers with the two matrices of the feed-forward part among their own children (OPT,
# BART) have its output in the second one.
_WRAPPED_ATTENTION = ("attention.output.dense", "layer.0.SelfAttention", "self_attention.attention")
_WRAPPED_MLP = ("output.dense", "layer.2.DenseReluDense", "mlp.DenseReluDense")
_PLAIN_ATTENTION = ("self_attn", "attention", "attn", "self_attention", "linear_attn", "temporal_block", "conv")
_PLAIN_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "moe", "fc2")
_SUBLAYERS = {"attention": (*_WRAPPED_ATTENTION, *_PLAIN_ATTENTION, "cross_attn"), "mlp": _WRAPPED_MLP + _PLAIN_MLP}
# What can be named by hand: parts of the model, and parts of each of its layers.
_PARTS = ("layers", "final_norm", "output_embedding")
# torch.compile wraps a module in one that has it under this name: compiled or not, its name is the same.
_COMPILED = "_orig_mod."


class UnsupportedModelError(ValueError):
    """A part of the model that is needed was not found; the message lists what was looked for."""


@dataclass(frozen=True)
class Architecture:
    """The parts of the language model inside a multimodal one.

    Attributes
    ----------
    layers : sequence of Modules
        The decoder layers in order.
    layers_name : str
        Their name in the model, for messages and manifests.
    final_norm : Module
        What the model applies to the last layer's output before the output embedding; ``Identity`` when it applies
        nothing.
    output_embedding : Module
        The linear map to the vocabulary; its ``weight`` is ``W_U``, vocabulary x features.
    sublayers : mapping
        Names within a layer of its "attention" and "mlp", where they are given by hand.
    """

    layers: Sequence[nn.Module]
    layers_name: str
    final_norm: nn.Module
    output_embedding: nn.Module
    sublayers: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_features(self) -> int:
        """Width of the residual stream."""
        # OPT-350m has a narrower embedding, and the projection to it after the norm.
        return next(self.final_norm.parameters(), self.output_embedding.weight).shape[-1]

    def part(self, layer: int, stream: str) -> nn.Module:
        """A decoder layer, or its sublayer for "attention" or "mlp"; see :meth:`coxlmm.LMM.module_of`."""
        module = getattr(self.layers[layer], "_orig_mod", self.layers[layer])  # what torch.compile was given
        if stream == "residual":
            return module
        names = (self.sublayers[stream],) if stream in self.sublayers else _SUBLAYERS[stream]
        parts = dict(module.named_modules())
        for name in names:
            if name in parts:
                return parts[name]
        raise UnsupportedModelError(
            f"layer {layer} ({type(module).__name__}) has no part known as its {stream}: looked for "
            f"{', '.join(names)}, it has {', '.join(name for name, _ in module.named_children())}. Name it by hand: "
            f'LMM(model, processor, modules={{"{stream}": "..."}})'
        )

    def unembedding(self) -> torch.Tensor:
        """``W_U``, vocabulary x features, on the CPU, in the model's own floating-point type where it has one."""
        with loaded_weights(self.output_embedding) as embedding:
            weight = embedding.weight
            is_plain = type(embedding) in (nn.Linear, nn.Embedding) and type(weight) in (torch.Tensor, nn.Parameter)
            return weight.detach().cpu() if is_plain and weight.is_floating_point() else _matrix_of(embedding)

    def project(self, normalized: torch.Tensor) -> torch.Tensor:
        """The output embedding of rows behind the final norm, bias included."""
        embedding = self.output_embedding
        if isinstance(embedding, nn.Embedding):  # named by hand: one that the model reads and writes with
            return nn.functional.linear(normalized, embedding.weight)
        return embedding(normalized)

    @classmethod
    def of(cls, model: nn.Module, modules: Mapping[str, Any] | None = None) -> "Architecture":
        """Finds the parts through the model's own accessors, but those that are named by hand.

        The layers are the outermost ``ModuleList`` under ``model.get_decoder()`` that is as long as the text
        configuration says the decoder is deep; the final norm is the norm beside them.

        Parameters
        ----------
        model : PreTrainedModel
        modules : mapping, optional
            See :class:`coxlmm.LMM`.

        Raises
        ------
        UnsupportedModelError
            If a part is missing.
        """
        given = _given(model, modules or {})
        try:
            return cls._of(model, given)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(f"{error}\n{_how_to_name(model)}") from None

    @classmethod
    def _of(cls, model: nn.Module, given: dict[str, Any]) -> "Architecture":
        decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
        if "layers" in given:
            layers = given["layers"]
            parent = next((m for m in model.modules() if any(child is layers for child in m.children())), decoder)
        else:
            depth = _depth(model)
            others = (*_OTHER_STACKS, "encoder") if model.config.is_encoder_decoder else _OTHER_STACKS
            # A decoder of BERT's kind calls its own layers an encoder.
            found = _find_layers(decoder, depth, others) or _find_layers(decoder, depth, _OTHER_STACKS)
            if found is None:
                raise UnsupportedModelError(
                    f"{type(model).__name__}: found no decoder layers. Looked under get_decoder() "
                    f"({type(decoder).__name__}) for a ModuleList of {depth} layers (num_hidden_layers of the text "
                    f"configuration), outside the parts named {', '.join(others)}"
                )
            parent, layers = found
        embedding = given["output_embedding"] if "output_embedding" in given else _output_embedding(model, decoder)
        norm = given["final_norm"] if "final_norm" in given else _final_norm(model, parent, embedding)
        sublayers = {stream: given[stream] for stream in _SUBLAYERS if stream in given}
        return cls(layers, _name_of(model, layers), norm, embedding, sublayers)


@torch.inference_mode()
def _matrix_of(linear: nn.Module) -> torch.Tensor:
    """The matrix of a linear map that has none as such (quantised, with an adapter): where it sends unit vectors."""
    weight = linear.weight
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    eye = torch.eye(linear.in_features, dtype=dtype, device=weight.device)
    offset = linear(torch.zeros_like(eye[:1])).float()
    return torch.cat([(linear(rows).float() - offset).T.cpu() for rows in eye.split(256)], dim=1)


def _given(model: nn.Module, modules: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are given by hand, as modules; the names of sublayers as they are."""
    given: dict[str, Any] = {}
    for part, module in modules.items():
        if part not in (*_PARTS, *_SUBLAYERS):
            raise ValueError(f"modules has {part!r}; what can be named is {', '.join((*_PARTS, *_SUBLAYERS))}")
        if part in _SUBLAYERS:
            if not isinstance(module, str):
                raise ValueError(f"{part!r} must be a name within a layer, which all layers share, got {module!r}")
            given[part] = module
        elif part == "final_norm" and module is None:
            given[part] = nn.Identity()
        else:
            given[part] = _named(model, part, module)
    layers = given.get("layers")
    if layers is not None and not isinstance(layers, (nn.ModuleList, nn.Sequential)):
        raise ValueError(
            f"layers must be a ModuleList or a Sequential, {modules['layers']!r} is {type(layers).__name__}"
        )
    return given


def _named(model: nn.Module, part: str, module: Any) -> nn.Module:
    named = {name.replace(_COMPILED, ""): m for name, m in model.named_modules(remove_duplicate=False)}
    if isinstance(module, str):
        if module not in named:
            raise UnsupportedModelError(
                f"{type(model).__name__} has no module {module!r} ({part})\n{_how_to_name(model)}"
            )
        return named[module]
    if not any(module is own for own in named.values()):
        raise ValueError(f"{part} must be a module of the model or its name, got {module!r}")
    return module


def _name_of(model: nn.Module, module: nn.Module) -> str:
    names = (name for name, m in model.named_modules(remove_duplicate=False) if m is module)
    return next(names, "").replace(_COMPILED, "")


def _how_to_name(model: nn.Module) -> str:
    named = [(name.replace(_COMPILED, ""), module) for name, module in model.named_modules()]
    lists = [(name, m) for name, m in named if isinstance(m, (nn.ModuleList, nn.Sequential)) and len(m) > 0]
    stacks = [f"{name} ({len(m)} {type(m[0]).__name__})" for name, m in lists if len({type(one) for one in m}) == 1]
    norms = [name for name, m in named if "norm" in type(m).__name__.lower()]
    norms = [name for name in norms if not any(name.startswith(f"{stack}.") for stack, _ in lists)]
    return (
        'Name them by hand: LMM(model, processor, modules={"layers": "...", "final_norm": "...", '
        '"output_embedding": "..."}), with names from model.named_modules(), None for no final norm; what is not '
        f"named is looked for. Stacks of layers in this model: {', '.join(stacks) or 'none'}; norms outside of them: "
        f"{', '.join(norms) or 'none'}; its last module: {named[-1][0]}"
    )


@contextmanager
def loaded_weights(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` with its weights in memory, which those that accelerate has offloaded are only while they are used.

    Raises
    ------
    UnsupportedModelError
        If there are no weights at all.
    """
    with ExitStack() as loaded:
        for part in module.modules():
            if _is_empty(part):
                from accelerate.utils import align_module_device

                loaded.enter_context(align_module_device(part))
        if _is_empty(module):
            raise UnsupportedModelError(
                f"the weights of {type(module).__name__} are on the meta device, without values: load the model with a "
                f'device_map ("auto", "cpu", "cuda") that keeps its final norm and output embedding in memory'
            )
        yield module


def without_hooks(module: nn.Module) -> nn.Module:
    """The module with the same weights, without what accelerate put around its computation."""
    plain = copy(module)
    plain.__dict__.pop("forward", None)
    plain._modules = {name: child and without_hooks(child) for name, child in module._modules.items()}
    return plain


@torch.inference_mode()
def logits_of(model: nn.Module, architecture: Architecture, states: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The logits that a model makes of rows behind its last layer; see :meth:`coxlmm.LMM.logits`."""
    last, embedding = architecture.layers[-1], architecture.output_embedding
    # A model around it may do no more than hand its logits on (BLIP-2), and not without an image.
    around = [m for m in model.modules() if isinstance(m, PreTrainedModel) and {last, embedding} <= set(m.modules())]
    head = around[-1] if around else model
    token = torch.zeros((1, 1), dtype=torch.long, device=device)
    inputs = {"input_ids": token, "attention_mask": torch.ones_like(token), "use_cache": False}
    if head.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = token

    def instead(module: nn.Module, args: Any, output: Any) -> Any:
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        rows = states[None].to(hidden.device, hidden.dtype)
        return rows if isinstance(output, torch.Tensor) else (rows, *output[1:])

    handle = last.register_forward_hook(instead)
    try:
        with as_written():
            # GPT-2 makes n sequences of one position of the n positions.
            return head(**inputs).logits.flatten(0, 1)
    finally:
        handle.remove()


@contextmanager
def as_written() -> Iterator[None]:
    """Without ``torch.compile``: what is compiled already does not look for hooks that came after it."""
    with torch.compiler.set_stance("force_eager"):
        yield


def _is_empty(module: nn.Module) -> bool:
    return any(weight.is_meta for weight in module.state_dict(keep_vars=True).values())


def _depth(model: nn.Module) -> int:
    try:
        config = model.config.get_text_config(decoder=True)
    except (AttributeError, ValueError) as error:
        raise UnsupportedModelError(
            f"{type(model).__name__}: no text configuration to count layers by: {error}"
        ) from error
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


def _final_norm(model: nn.Module, parent: nn.Module, embedding: nn.Module) -> nn.Module:
    # BERT and its kin end with a transformation that their head keeps beside the output embedding.
    for head in model.modules():
        if embedding in head.children() and isinstance(getattr(head, "transform", None), nn.Module):
            return head.transform
    if type(parent).__name__ == "OPTDecoder":  # some of its checkpoints have no norm, or a projection that follows it
        parts = [part for part in (parent.final_layer_norm, parent.project_out) if part is not None]
        return nn.Identity() if not parts else parts[0] if len(parts) == 1 else nn.Sequential(*parts)
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


def _output_embedding(model: nn.Module, decoder: nn.Module) -> nn.Module:
    # BLIP: the decoder inside is whole in itself, and the model around it has no accessor of its own.
    for owner in (model, decoder):
        embedding = owner.get_output_embeddings() if hasattr(owner, "get_output_embeddings") else None
        if isinstance(getattr(embedding, "weight", None), torch.Tensor):
            return embedding
    raise UnsupportedModelError(
        f"{type(model).__name__}: found no output embedding. Looked for get_output_embeddings() of the model and of "
        f"its decoder ({type(decoder).__name__}), a module with a weight matrix"
    )


def image_token_id(model: PreTrainedModel, processor: Any) -> int | None:
    """The token that stands for a visual token in a prompt, where there is one."""
    for owner in (model.config, processor, getattr(processor, "tokenizer", None)):
        for name in ("image_token_id", "image_token_index"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    return None
