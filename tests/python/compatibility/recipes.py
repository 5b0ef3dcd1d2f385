"""What a family of models needs so that it can be built here, and what it is known not to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

CHECKS = ("caption", "extract", "batch", "forward", "places", "ground")


@dataclass(frozen=True)
class Family:
    """One row of the compatibility table.

    Attributes
    ----------
    name : str
        The ``model_type`` of the architecture, as transformers maps it.
    build : callable
        Returns ``(model, processor)``.
    prompt : str, optional
        For :class:`coxlmm.LMM`; None for its default.
    refuses : mapping
        From a check to words of the error with which the library refuses it; the check must raise just that, and the
        message goes into the table.
    alone : str
        Why images give something else in a batch, where they do: the checks then have one at a time.
    note : str
        Remark for the table.
    """

    name: str
    build: Callable[[], tuple[PreTrainedModel, Any]]
    prompt: str | None = None
    refuses: Mapping[str, str] = field(default_factory=dict)
    alone: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.refuses) - set(CHECKS):
            raise ValueError(f"{self.name}: there are no checks {sorted(unknown)}")


@dataclass(frozen=True)
class Unavailable:
    """A family that cannot be used here: ``build`` raises an error that says ``reason``."""

    name: str
    build: Callable[[], Any]
    reason: str
