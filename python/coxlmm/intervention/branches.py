"""Different ways to go on: what the model says after a caption's beginning when the state there is changed."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from transformers import LogitsProcessor

from coxlmm.generation import continued, editing, generate, predict
from coxlmm.verification import TOLERANCE

if TYPE_CHECKING:
    from coxlmm.models import LMM


@dataclass(frozen=True, eq=False)
class Branch:
    """How the model goes on.

    Attributes
    ----------
    log_probabilities : ndarray of float64, vocabulary
        Of the next token, natural logarithms.
    ids : list of int
        The tokens that follow, greedily, up to the end of sequence.
    """

    log_probabilities: np.ndarray
    ids: list[int]


class Fork:
    """The beginnings of captions, read once, from which the model can go on in many ways.

    What attention keeps of a beginning is copied for every branch, where the model lets it; that the model then says
    what it says without such a copy is looked at here, and where it does not the beginnings are read again for every
    branch, which takes longer. To be used before the model reads anything else: some keep what they read last.

    Parameters
    ----------
    lmm : LMM
    module : Module
        A decoder layer or a sublayer: the states that are changed are its outputs.
    images : list of opened images
    prefixes : list of lists of int, all of one length
        The captions' tokens so far.
    batch_size : int
        Branches that go through the model at a time.

    Attributes
    ----------
    states : ndarray of float32, n x features
        Those that predict the next token of each beginning.
    log_probabilities : ndarray of float64, n x vocabulary
        What they predict.
    """

    def __init__(
        self, lmm: "LMM", module: nn.Module, images: list[Any], prefixes: list[list[int]], batch_size: int
    ) -> None:
        self._lmm, self._module, self._batch_size = lmm, module, batch_size
        self._images, self._prefixes = images, prefixes
        inputs = self._inputs(range(len(images)))
        read = predict(lmm, inputs, [module], with_cache=not lmm.model.config.is_encoder_decoder)
        self.states = read.states[0].float().cpu().numpy()
        self.log_probabilities = _log_softmax(read.logits)
        self._aligned = self._cache = None
        if _can_be_copied(inputs, read.cache):
            shape = inputs["input_ids"].shape
            is_aligned = {k: isinstance(v, torch.Tensor) and v.shape[:2] == shape for k, v in inputs.items()}
            self._aligned = {key: value for key, value in inputs.items() if is_aligned[key]}
            self._cache = read.cache
            if not self._copies_say_the_same(read.logits):
                self._cache = None

    @property
    def is_shared(self) -> bool:
        """Whether branches start from a copy of what attention keeps, and the beginnings are not read again."""
        return self._cache is not None

    def branches(
        self,
        origins: Sequence[int],
        deltas: np.ndarray,
        max_new_tokens: int,
        then: Callable[[np.ndarray, slice], np.ndarray] | None = None,
    ) -> Iterator[Branch]:
        """Goes on from beginnings with changed states, a batch at a time.

        Parameters
        ----------
        origins : sequence of int, n
            Which beginning each branch is of.
        deltas : ndarray, n x features
            What is added to its state.
        max_new_tokens : int
            Of each.
        then : callable, optional
            What is added to later states of branches: from these states (rows x features) and which of the branches
            they are of. Default: nothing.
        """
        for rows in _pieces(len(origins), self._batch_size):
            delta = torch.from_numpy(np.ascontiguousarray(deltas[rows], dtype=np.float32))
            change = _adding(lambda states, delta=delta: delta)
            later = then and _adding(lambda states, rows=rows: torch.from_numpy(then(states.numpy(), rows)))
            is_same = ~np.any(deltas[rows], axis=1)
            yield from self._go_on(origins[rows], is_same, change, max_new_tokens, later)

    def _go_on(
        self, origins: Sequence[int], is_same: np.ndarray, change: Any, max_new_tokens: int, later: Any
    ) -> list[Branch]:
        n = len(origins)
        if self.is_shared:
            first = _FirstScores()
            with editing(self._module, n, change, later):
                ids = generate(self._lmm, self._copied(origins), max_new_tokens, sampler=first).ids
            logits = first.scores
        else:
            inputs = self._inputs(origins)
            with editing(self._module, n, change):
                logits = predict(self._lmm, inputs).logits
            with editing(self._module, n, change, later):
                ids = generate(self._lmm, inputs, max_new_tokens).ids
        found = _log_softmax(logits)
        found[is_same] = self.log_probabilities[np.asarray(origins)[is_same]]
        return [Branch(*branch) for branch in zip(found, ids, strict=True)]

    def _inputs(self, origins: Sequence[int]) -> dict[str, Any]:
        inputs = self._lmm.inputs([self._images[i] for i in origins])
        prefixes = [self._prefixes[i] for i in origins]
        return continued(self._lmm, inputs, prefixes) if prefixes[0] else inputs

    def _copied(self, origins: Sequence[int]) -> dict[str, Any]:
        """Inputs of ``generate`` that begin with the last token of the beginnings; the rest is in the cache."""
        index = torch.as_tensor(origins, device=self._lmm.device)
        cache = deepcopy(self._cache)
        cache.crop(-1)  # of the last position, whose state is changed
        cache.reorder_cache(index)
        name = "cache" if "cache" in inspect.signature(self._lmm.model.forward).parameters else "past_key_values"
        return {key: value[index] for key, value in self._aligned.items()} | {name: cache}

    def _copies_say_the_same(self, logits: torch.Tensor) -> bool:
        first = _FirstScores()
        try:
            # One more than there are: some models (Qwen) keep the positions of a batch, and take no other number.
            generate(self._lmm, self._copied([*range(len(logits)), 0]), 1, sampler=first)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # how a model fails to go on from a cache is its own affair
            return False
        possible, scores = torch.isfinite(logits), first.scores[:-1]
        error = (scores - logits)[possible].norm() / logits[possible].norm()
        if not float(error) <= TOLERANCE.get(self._lmm.model.dtype, 0.0):
            return False
        # In low precision the branches' own arithmetic differs from that of the pass above by more than a change may.
        self.log_probabilities = _log_softmax(scores)
        return True


class _FirstScores(LogitsProcessor):
    """Keeps the logits of the first token."""

    def __init__(self) -> None:
        self.scores: torch.Tensor | None = None
        self.draws = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.draws += 1
        if self.scores is None:
            self.scores = scores.float().cpu()
        return scores


def _can_be_copied(inputs: dict[str, Any], cache: Any) -> bool:
    return hasattr(cache, "reorder_cache") and "input_ids" in inputs


def _adding(of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """States plus what ``of`` makes of them in float32 on the CPU. Rows to which nothing is added keep their bits."""

    def change(states: torch.Tensor) -> torch.Tensor:
        own = states.detach().float().cpu()
        delta = of(own)
        moved = (own + delta).to(states.device, states.dtype)
        return torch.where(delta.any(dim=1, keepdim=True).to(states.device), moved, states)

    return change


def _log_softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.double().log_softmax(dim=1).numpy()


def _pieces(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
