"""Different ways to go on: what the model says after a caption's beginning when the state there is changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from coxlmm.generation import continued, editing, generate, next_token_logits

if TYPE_CHECKING:
    from coxlmm.models import LMM

# Sequences in a batch.
_ROWS = 32


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


def branches(
    lmm: "LMM",
    module: nn.Module,
    image: Any,
    prefix: list[int],
    deltas: np.ndarray,
    max_new_tokens: int,
    then: Callable[[np.ndarray, slice], np.ndarray] | None = None,
) -> list[Branch]:
    """Goes on after ``prefix`` once for every row of ``deltas``, which is added to the state of the next token.

    Parameters
    ----------
    lmm : LMM
    module : Module
        Whose output the state is.
    image : opened image
    prefix : list of int
        The caption's tokens so far.
    deltas : ndarray, n x features
    max_new_tokens : int
        Of each.
    then : callable, optional
        What is added to later states, from these (rows x features) and which of the rows of ``deltas`` they are.
    """
    found = []
    for start in range(0, len(deltas), _ROWS):
        rows = slice(start, min(start + _ROWS, len(deltas)))
        some = torch.from_numpy(np.ascontiguousarray(deltas[rows], dtype=np.float32))
        n = len(some)
        inputs = lmm.inputs([image] * n)
        if prefix:
            inputs = continued(lmm, inputs, [prefix] * n)
        change = _adding(lambda states, some=some: some)
        later = then and _adding(lambda states, rows=rows: torch.from_numpy(then(states.numpy(), rows)))
        with editing(module, n, change):
            logits = next_token_logits(lmm, inputs)
        with editing(module, n, change, later):
            ids = generate(lmm, inputs, max_new_tokens).ids
        log_probabilities = logits.double().log_softmax(dim=1).numpy()
        found += [Branch(*branch) for branch in zip(log_probabilities, ids, strict=True)]
    return found


def _adding(of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """States plus what ``of`` makes of them in float32 on the CPU. Rows to which nothing is added keep their bits."""

    def change(states: torch.Tensor) -> torch.Tensor:
        own = states.detach().float().cpu()
        delta = of(own)
        moved = (own + delta).to(states.device, states.dtype)
        return torch.where(delta.any(dim=1, keepdim=True).to(states.device), moved, states)

    return change
