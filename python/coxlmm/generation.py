"""Captions, and the hidden states that wrote them."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TopPLogitsWarper,
)

from coxlmm.architecture import as_written

if TYPE_CHECKING:
    from coxlmm.models import LMM

# All that is taken over from a checkpoint's generation settings.
_SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# Token types of what is generated, by model type and input, where they are not those at the end of the prompt:
# PaliGemma's tell the prompt, which is read in both directions, from what follows.
_TYPE_OF_GENERATED = {("paligemma", "token_type_ids"): 1}


@dataclass(frozen=True)
class Generation:
    """What a batch generated, or read.

    Attributes
    ----------
    ids : list of lists of int
        For each sequence its generated tokens, up to and without the end of sequence. Never a token of the prompt.
    states : list of Tensors, steps x batch x features
        One for each recorded module: entry ``[g, b]`` is the state that predicted token ``g`` of sequence ``b``.
    visual : list of lists of Tensors, visual tokens x features
        For each recorded module and sequence the states at its visual tokens, when they were asked for.
    """

    ids: list[list[int]]
    states: list[torch.Tensor] = field(default_factory=list)
    visual: list[list[torch.Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """Which states to keep.

    Attributes
    ----------
    modules : sequence of Modules
        Those whose outputs are states.
    visual : Tensor of bool, batch x positions, or None
        Where the visual tokens of each prompt are, if their states are wanted.
    """

    modules: Sequence[nn.Module] = ()
    visual: torch.Tensor | None = None


NOTHING = Record()


@torch.inference_mode()
def generate(
    lmm: "LMM",
    inputs: Mapping[str, Any],
    max_new_tokens: int,
    record: Record = NOTHING,
    sampler: "GumbelSampler | None" = None,
) -> Generation:
    """Continues every prompt of ``inputs``, greedily unless a sampler is given.

    Raises
    ------
    ValueError
        If ``max_new_tokens`` is not positive or the batch is not padded on the left.
    RuntimeError
        If a module did not run exactly once a token (then its states belong to no token), or the model's class does not
        let the sampler draw.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    _check_left_padding(inputs)
    steps = _StepCounter()
    end = lmm.eos_token_ids
    settings = {"eos_token_id": end or None, "pad_token_id": lmm.tokenizer.pad_token_id}
    if lmm.model.config.model_type == "blip":  # its generate drops the last token, which it takes for an end
        inputs = continued(lmm, inputs, [[lmm.tokenizer.pad_token_id]] * len(inputs["input_ids"]))
    # With left padding the last position is the one that predicts. It is copied, so that the sequence's other states
    # can be freed.
    with _recording(lmm, inputs, record, lambda hidden: hidden[:, -1].clone()) as kept, greedy(lmm.model, settings):
        sequences = lmm.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            stopping_criteria=StoppingCriteriaList([steps]),
            **({} if sampler is None else {"logits_processor": LogitsProcessorList([sampler])}),
        )
    if sampler is not None and not sampler.draws:
        raise RuntimeError(f"{type(lmm.model).__name__}.generate hands no sampler on: it writes greedily alone")
    # Whether the prompt is returned too differs between architectures; the number of steps does not.
    ids = [_until_end(row, end) for row in sequences[:, sequences.shape[1] - steps.count :].tolist()]
    for states in kept.states:
        if len(states) != steps.count:
            raise RuntimeError(
                f"the hooked module ran {len(states)} times for {steps.count} generated tokens: "
                f"{type(lmm.model).__name__} does not compute one position a step"
            )
    return Generation(ids, [torch.stack(states) for states in kept.states], kept.visual)


@torch.inference_mode()
def read(lmm: "LMM", inputs: Mapping[str, Any], ids: list[list[int]], record: Record) -> Generation:
    """The states with which the model predicts tokens that are given (teacher forcing), in one forward pass.

    Each module's states have one entry more than the longest of ``ids`` has tokens: the last one of a sequence is the
    state at its last token. What lies beyond a sequence's own end belongs to no token.
    """
    _check_left_padding(inputs)
    n = max(map(len, ids)) + 1
    arguments = continued(lmm, inputs, ids)
    if "logits_to_keep" in inspect.signature(lmm.model.forward).parameters:
        arguments["logits_to_keep"] = 1  # those of every position of the prompt would be the largest array of all
    with _recording(lmm, inputs, record, lambda hidden: hidden[:, -n:].transpose(0, 1).clone()) as kept:
        lmm.model(**arguments, use_cache=False)
    for states in kept.states:
        if len(states) != 1:
            raise RuntimeError(f"the hooked module ran {len(states)} times in one pass of {type(lmm.model).__name__}")
    return Generation(ids, [states[0] for states in kept.states], kept.visual)


def continued(lmm: "LMM", inputs: Mapping[str, Any], ids: list[list[int]]) -> dict[str, Any]:
    """Inputs of a forward pass over the prompts and the tokens that follow them, the shorter ones padded on the right.

    The last position of an encoder-decoder's prompt is the token that its decoder starts with.
    """
    longer = dict(inputs)
    prompt = inputs.get("input_ids")
    device = lmm.device if prompt is None else prompt.device
    n = max(map(len, ids))
    pad = lmm.tokenizer.pad_token_id
    tail = torch.tensor([[*row, *[pad] * (n - len(row))] for row in ids], dtype=torch.long, device=device)
    if lmm.model.config.is_encoder_decoder:
        # generate() begins a prompt of the decoder's, too, with its first token; all are alike, and none is padded.
        start = torch.full((len(ids), 1), _decoder_start(lmm), device=device)
        prompt = inputs.get("decoder_input_ids", start)
        start = prompt if torch.equal(prompt[:, :1], start) else torch.cat([start, prompt], dim=1)
        longer["decoder_input_ids"] = torch.cat([start, tail], dim=1)
        longer.pop("decoder_attention_mask", None)
        return longer
    mask = torch.tensor([[1] * len(row) + [0] * (n - len(row)) for row in ids], device=device).reshape(len(ids), n)
    for key, value in inputs.items():
        if not isinstance(value, torch.Tensor) or prompt is None or value.shape[:2] != prompt.shape:
            continue
        if key == "input_ids":
            added = tail
        elif key == "attention_mask":
            added = mask
        elif (lmm.model.config.model_type, key) in _TYPE_OF_GENERATED:
            added = torch.full_like(tail, _TYPE_OF_GENERATED[lmm.model.config.model_type, key])
        else:  # token types, masks of cross-attention, one entry a position: as at the end of the prompt
            added = value[:, -1:].repeat(1, n, *[1] * (value.ndim - 2))
        longer[key] = torch.cat([value, added.to(value.dtype)], dim=1)
    return longer


def _decoder_start(lmm: "LMM") -> int:
    settings = (lmm.model.generation_config, lmm.model.config, lmm.model.config.get_text_config(decoder=True))
    for name in ("decoder_start_token_id", "bos_token_id"):
        for config in settings:
            if getattr(config, name, None) is not None:
                return getattr(config, name)
    raise ValueError(f"{type(lmm.model).__name__} does not say with which token its decoder starts")


class GumbelSampler(LogitsProcessor):
    """Draws from the model's distribution: the largest of logits to which Gumbel noise is added is such a draw.

    Every sequence has noise of its own, which depends on its seed and the step alone, so that it says the same in any
    batch and in any process.

    Parameters
    ----------
    seeds : sequence of int
        One a sequence.
    temperature : float
        Positive; what the logits are divided by.
    top_p : float
        Only the most probable tokens that together have this probability can be drawn.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.draws = 0
        self._temperature = temperature
        self._likely = TopPLogitsWarper(top_p) if top_p < 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.draws += 1
        scores = scores.double() / self._temperature
        if self._likely is not None:
            scores = self._likely(input_ids, scores)
        size = scores.shape[1]
        noise = torch.stack([torch.rand(size, generator=g, dtype=torch.float64) for g in self._generators])
        return scores - (-noise.log()).log().to(scores.device)


class _StepCounter(StoppingCriteria):
    """Counts generated tokens: it is called once for each and stops none. (Janus hands no logits processor on.)"""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self.count += 1
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@contextmanager
def greedy(model: nn.Module, settings: Mapping[str, Any]) -> Iterator[None]:
    """Lets ``generate`` take the argmax of the logits, and nothing else, as the next token.

    Checkpoints ship settings that bend this: sampling, beams, penalties on repetition, tokens forced or forbidden.
    With these a caption would depend on more than the state that is analysed. What is not named in a call of
    ``generate`` comes from the model's own settings, so these are replaced, and put back afterwards. The language model
    inside a multimodal one may have settings, too. ``settings`` are those that hold instead: some classes' ``generate``
    names them itself in its call of another one, so that they cannot be named in its own.
    """
    # Wrappers (PEFT's, torch.compile's) show those of the model inside as if they were their own.
    own = [(module, vars(module).get("generation_config")) for module in model.modules()]
    own = [(module, config) for module, config in own if isinstance(config, GenerationConfig)]
    try:
        for module, config in own:
            kept = {key: getattr(config, key) for key in _SPECIAL_TOKENS}
            module.generation_config = GenerationConfig(**kept | settings)
        yield
    finally:
        for module, config in own:
            module.generation_config = config


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a batch of sequences says next.

    Attributes
    ----------
    logits : Tensor of float32, batch x vocabulary
        On the CPU.
    states : list of Tensors, batch x features
        One for each recorded module: those that predict.
    cache
        What the model keeps of the sequences, if it was asked for: keys and values of attention.
    """

    logits: torch.Tensor
    states: list[torch.Tensor]
    cache: Any = None


@torch.inference_mode()
def predict(
    lmm: "LMM", inputs: Mapping[str, Any], modules: Sequence[nn.Module] = (), with_cache: bool = False
) -> Prediction:
    """The logits of the next token of every sequence of ``inputs``, in one forward pass."""
    _check_left_padding(inputs)
    arguments = dict(inputs)
    if lmm.model.config.is_encoder_decoder and "decoder_input_ids" not in arguments:
        n = len(next(value for value in inputs.values() if isinstance(value, torch.Tensor)))
        arguments["decoder_input_ids"] = torch.full((n, 1), _decoder_start(lmm), device=lmm.device)
    if "logits_to_keep" in inspect.signature(lmm.model.forward).parameters:
        arguments["logits_to_keep"] = 1
    with _recording(lmm, inputs, Record(modules), lambda hidden: hidden[:, -1].clone()) as kept:
        outputs = lmm.model(**arguments, use_cache=with_cache)
    cache = None
    if with_cache:  # transformers 5.24 renamed it
        cache = getattr(outputs, "cache", None) or getattr(outputs, "past_key_values", None)
    return Prediction(outputs.logits[:, -1].float().cpu(), [states[0] for states in kept.states], cache)


@contextmanager
def editing(
    module: nn.Module,
    batch: int,
    change: Callable[[torch.Tensor], torch.Tensor],
    then: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[None]:
    """Changes the states that predict the next token: a module's output at the last position of a batch.

    Parameters
    ----------
    module : Module
        A decoder layer, or a sublayer of one.
    batch : int
        Number of sequences.
    change : callable
        From states, batch x features, to what takes their place, in the pass that predicts the first token. The layers
        above see it, and what attention keeps there for later tokens is made of it.
    then : callable, optional
        The same in every later pass. Default: later states are left as they are.

    Removes its own hook and no other, however the block ends.
    """
    changes = chain([change], repeat(then))

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        change = next(changes)
        if change is None:
            return None
        given = output if isinstance(output, torch.Tensor) else output[0]
        hidden = hidden_of(output, batch).clone()
        hidden[:, -1] = change(hidden[:, -1])
        hidden = hidden.reshape(given.shape)
        return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])

    handle = module.register_forward_hook(hook)
    try:
        with as_written():
            yield
    finally:
        handle.remove()


@dataclass
class _Kept:
    states: list[list[torch.Tensor]]
    visual: list[list[torch.Tensor]]


@contextmanager
def _recording(
    lmm: "LMM", inputs: Mapping[str, Any], record: Record, keep: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[_Kept]:
    """Collects what ``keep`` takes of every output, and the visual tokens of the first one.

    Removes its own hooks and no others, however the block ends.
    """
    batch = len(next(value for value in (inputs.get("input_ids"), *inputs.values()) if isinstance(value, torch.Tensor)))
    kept = _Kept([[] for _ in record.modules], [])
    if record.visual is not None:
        kept.visual = [[] for _ in record.modules]

    def hook_of(m: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            hidden = hidden_of(output, batch)
            if record.visual is not None and not kept.states[m]:
                kept.visual[m] = _at(hidden, record.visual, type(lmm.model).__name__)
            kept.states[m].append(keep(hidden))

        return hook

    handles = [module.register_forward_hook(hook_of(m)) for m, module in enumerate(record.modules)]
    try:
        with as_written() if handles else nullcontext():
            yield kept
    finally:
        for handle in handles:
            handle.remove()


def _at(hidden: torch.Tensor, positions: torch.Tensor, model: str) -> list[torch.Tensor]:
    n = positions.shape[1]
    if hidden.shape[1] < n:
        raise RuntimeError(f"{model} computes {hidden.shape[1]} positions of a prompt of {n} tokens")
    return [states[:n][there.to(states.device)] for states, there in zip(hidden, positions, strict=True)]


def hidden_of(output: Any, batch: int) -> torch.Tensor:
    """The states that a decoder layer, or a part of one, gave: batch x positions x features."""
    hidden = output[0] if not isinstance(output, torch.Tensor) else output
    if isinstance(hidden, torch.Tensor) and hidden.ndim == 2 and len(hidden) % batch == 0:
        # Mixtures of experts and OPT's MLP put the positions of all sequences in one row.
        hidden = hidden.unflatten(0, (batch, -1))
    if not isinstance(hidden, torch.Tensor) or hidden.ndim != 3:
        shape = tuple(hidden.shape) if isinstance(hidden, torch.Tensor) else type(hidden).__name__
        raise RuntimeError(f"a decoder layer must give batch x positions x features, this one gave {shape}")
    return hidden


def _check_left_padding(inputs: Mapping[str, Any]) -> None:
    mask, ids = inputs.get("attention_mask"), inputs.get("input_ids")
    # Without input_ids the mask is that of an encoder's patches (Pix2Struct).
    if mask is not None and ids is not None and mask.shape == ids.shape and not bool(mask[:, -1].all()):
        raise ValueError("the processor padded the prompts on the right; batches need padding_side='left'")


def _until_end(ids: list[int], end: list[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in end:
            return ids[:i]
    return ids
