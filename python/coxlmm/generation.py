"""Greedy captions, and the hidden states that wrote them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

if TYPE_CHECKING:
    from coxlmm.models import LMM

# All that is taken over from a checkpoint's generation settings.
_SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


@dataclass(frozen=True)
class Generation:
    """What a batch generated.

    Attributes
    ----------
    ids : list of lists of int
        For each sequence its generated tokens, up to and without the end of sequence. Never a token of the prompt.
    states : Tensor or None
        ``steps x batch x features``: entry ``[g, b]`` is the state that predicted token ``g`` of sequence ``b``.
    """

    ids: list[list[int]]
    states: torch.Tensor | None


@torch.inference_mode()
def generate(lmm: "LMM", inputs: Mapping[str, Any], max_new_tokens: int, layer: nn.Module | None = None) -> Generation:
    """Continues every prompt of ``inputs`` greedily, keeping the states after ``layer`` when one is named.

    Raises
    ------
    ValueError
        If ``max_new_tokens`` is not positive or the batch is not padded on the left.
    RuntimeError
        If the layer did not run exactly once a token (then its states belong to no token).
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    _check_left_padding(inputs)
    steps = _StepCounter()
    end = lmm.eos_token_ids
    with last_positions(layer) as kept, greedy(lmm.model):
        sequences = lmm.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            eos_token_id=end or None,
            pad_token_id=lmm.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([steps]),
        )
    # Whether the prompt is returned too differs between architectures; the number of steps does not.
    ids = [_until_end(row, end) for row in sequences[:, sequences.shape[1] - steps.count :].tolist()]
    if layer is None:
        return Generation(ids, None)
    if len(kept) != steps.count:
        raise RuntimeError(
            f"the hooked layer ran {len(kept)} times for {steps.count} generated tokens: "
            f"{type(lmm.model).__name__} does not compute one position a step"
        )
    return Generation(ids, torch.stack(kept))


class _StepCounter(LogitsProcessor):
    """Counts generated tokens: it is called once for each and leaves the scores alone."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return scores


@contextmanager
def greedy(model: nn.Module) -> Iterator[None]:
    """Lets ``generate`` take the argmax of the logits, and nothing else, as the next token.

    Checkpoints ship settings that bend this: sampling, beams, penalties on repetition, tokens forced or forbidden.
    With these a caption would depend on more than the state that is analysed. What is not named in a call of
    ``generate`` comes from the model's own settings, so these are replaced, and put back afterwards. The language model
    inside a multimodal one may have settings, too.
    """
    own = [(m, m.generation_config) for m in model.modules() if hasattr(m, "generation_config")]
    own = [(module, settings) for module, settings in own if isinstance(settings, GenerationConfig)]
    try:
        for module, settings in own:
            module.generation_config = GenerationConfig(**{key: getattr(settings, key) for key in _SPECIAL_TOKENS})
        yield
    finally:
        for module, settings in own:
            module.generation_config = settings


@contextmanager
def last_positions(layer: nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """Collects the last position of every output of ``layer``: with left padding, the one that predicts.

    Copies that one vector a sequence, so that the whole sequence's states can be freed. Removes its own hook and no
    other, however the block ends.
    """
    kept: list[torch.Tensor] = []
    if layer is None:
        yield kept
        return
    handle = layer.register_forward_hook(lambda module, args, output: kept.append(_hidden(output)[:, -1].clone()))
    try:
        yield kept
    finally:
        handle.remove()


def _hidden(output: Any) -> torch.Tensor:
    hidden = output[0] if not isinstance(output, torch.Tensor) else output
    if not isinstance(hidden, torch.Tensor) or hidden.ndim != 3:
        shape = tuple(hidden.shape) if isinstance(hidden, torch.Tensor) else type(hidden).__name__
        raise RuntimeError(f"a decoder layer must give batch x positions x features, this one gave {shape}")
    return hidden


def _check_left_padding(inputs: Mapping[str, Any]) -> None:
    mask = inputs.get("attention_mask")
    if mask is not None and mask.ndim == 2 and not bool(mask[:, -1].all()):
        raise ValueError("the processor padded the prompts on the right; batches need padding_side='left'")


def _until_end(ids: list[int], end: list[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in end:
            return ids[:i]
    return ids
