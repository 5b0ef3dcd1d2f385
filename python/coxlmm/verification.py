"""Recomputing extracted states from scratch: the check that extraction can be asked to make of itself."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coxlmm.errors import CoxlmmError
from coxlmm.images import open_image
from coxlmm.words import TokenSpan

if TYPE_CHECKING:
    from coxlmm.models import LMM

# Relative to the state's norm. Batching and caching change the order of sums, which costs a few units in the last
# place a layer; a state of the wrong position, layer or image is off by the order of 1.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


class VerificationError(CoxlmmError, RuntimeError):
    """A state that was computed again differs from the one that was extracted."""


@dataclass(frozen=True)
class Candidate:
    """What it takes to compute a sample's states again.

    ``states`` are those that predicted the word's tokens, ``len(span) x features``.
    """

    sample_id: str
    image: Any
    index: int
    ids: list[int]
    span: TokenSpan
    states: np.ndarray


class Reservoir:
    """``size`` of the candidates offered, each with the same chance, without holding the rest."""

    def __init__(self, size: int) -> None:
        self.drawn: list[Candidate] = []
        self._size = size
        self._offered = 0
        self._random = random.Random(0)

    def offer(self, candidate: Candidate) -> None:
        self._offered += 1
        if len(self.drawn) < self._size:
            self.drawn.append(candidate)
        elif self._size:
            slot = self._random.randrange(self._offered)
            if slot < self._size:
                self.drawn[slot] = candidate


def require_verifiable(lmm: "LMM") -> None:
    """Raises ValueError for models that :func:`verify_states` cannot check: to be asked before long work.

    These are encoder-decoder models, whose passes it does not know how to arrange, and precisions without a tolerance.
    """
    if lmm.model.config.is_encoder_decoder:
        raise ValueError(f"verify works for decoder-only models, {type(lmm.model).__name__} is an encoder-decoder")
    if lmm.model.dtype not in TOLERANCE:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in TOLERANCE)
        raise ValueError(f"verify knows the tolerance of {known}, the model is in {lmm.model.dtype}")


def verify_states(lmm: "LMM", candidates: list[Candidate], layer: int) -> dict[str, Any]:
    """Computes states again and compares.

    Each image is put through the model alone, with its generated tokens already in place, in one forward pass without
    cache and without a hook of this library; transformers' own ``hidden_states`` are what is compared with. For the
    last layer these are normalised, so there ``normalize(state)`` is compared, which covers the final norm, and the
    output embedding is covered too: ``W_U`` must rank the same token first as the model's logits.

    Returns
    -------
    dict
        ``n``, ``max_relative_error`` (of the Euclidean norm) and ``tolerance``, which depends on the model's
        precision: 1e-4 for float32, 2e-2 for float16, 1e-1 for bfloat16.

    Raises
    ------
    VerificationError
        If a state is off by more than the tolerance; the message names the sample.
    ValueError
        See :func:`require_verifiable`.
    """
    require_verifiable(lmm)
    tolerance = TOLERANCE[lmm.model.dtype]
    worst = 0.0
    for candidate in candidates:
        states, logits = _plain_forward(lmm, candidate, layer)
        extracted = candidate.states
        if layer == lmm.n_layers - 1:
            extracted = lmm.normalize(extracted)
        error = float(np.max(np.linalg.norm(extracted - states, axis=1) / np.linalg.norm(states, axis=1)))
        if not error <= tolerance:
            raise VerificationError(
                f"the state of sample {candidate.sample_id!r} at layer {layer} differs from the one of a plain forward "
                f"pass by {error:.1e} of its norm (tolerance {tolerance:.0e})"
            )
        if layer == lmm.n_layers - 1:
            _check_ranking(lmm, candidate, extracted, logits)
        worst = max(worst, error)
    return {"n": len(candidates), "max_relative_error": worst, "tolerance": tolerance}


@torch.inference_mode()
def _plain_forward(lmm: "LMM", candidate: Candidate, layer: int) -> tuple[np.ndarray, np.ndarray]:
    start, stop = candidate.span
    inputs = lmm.inputs([open_image(candidate.image, candidate.index)])
    # The state that predicts token g is computed from the prompt and the tokens before g.
    inputs = _continued(inputs, candidate.ids[: stop - 1])
    outputs = lmm.model(**inputs, use_cache=False, output_hidden_states=True)
    # From the end: some models put their visual tokens in front only inside.
    states = outputs.hidden_states[layer + 1][0, start - stop :]
    logits = outputs.logits[0, start - stop :]
    return states.float().cpu().numpy(), logits.float().cpu().numpy()


def _continued(inputs: dict[str, Any], ids: list[int]) -> dict[str, Any]:
    prompt = inputs["input_ids"]
    tail = torch.tensor([ids], dtype=prompt.dtype, device=prompt.device)
    continued = dict(inputs)
    for key, value in inputs.items():
        if not isinstance(value, torch.Tensor) or value.shape != prompt.shape:
            continue
        if key == "input_ids":
            added = tail
        elif key == "attention_mask":
            added = torch.ones_like(tail, dtype=value.dtype)
        else:  # token types: what is generated is text, type 0
            added = torch.zeros_like(tail, dtype=value.dtype)
        continued[key] = torch.cat([value, added], dim=1)
    return continued


def _check_ranking(lmm: "LMM", candidate: Candidate, normalized: np.ndarray, logits: np.ndarray) -> None:
    embedding = lmm.architecture.output_embedding
    with torch.inference_mode():
        device = lmm.device if embedding.weight.is_meta else embedding.weight.device
        rows = torch.from_numpy(normalized).to(device, embedding.weight.dtype)
        top = embedding(rows).argmax(dim=1).cpu().numpy()
    # Compared by value, not by index: two tokens may share the first place, in low precision above all.
    tokens = np.arange(len(logits))
    best = logits.max(axis=1)
    close = best - logits[tokens, top] <= TOLERANCE[lmm.model.dtype] * np.abs(logits).max(axis=1)
    if not close.all():
        raise VerificationError(
            f"sample {candidate.sample_id!r}: final norm and output embedding ({type(lmm.final_norm).__name__}, "
            f"{type(embedding).__name__}) rank {lmm.decode_token(top[~close][0])!r} first where the model predicts "
            f"{lmm.decode_token(logits[~close][0].argmax())!r}: they are not this model's"
        )
