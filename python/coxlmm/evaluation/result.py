"""What an evaluation came to."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coxlmm.atomic import write_file
from coxlmm.evaluation.measures import METHODS
from coxlmm.evaluation.spread import Spread


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures by method and measure, each with its spread over seeds.

    Attributes
    ----------
    results : dict of dicts of Spread
        ``results[method][measure]``; what does not apply to a method is absent. Methods are those of
        :data:`coxlmm.evaluation.measures.METHODS`, and whatever else was evaluated; measures those of
        :data:`coxlmm.evaluation.measures.MEASURES`.
    method : str
        The dictionary's own.
    settings : dict
        JSON values: word, layer, seeds, numbers of samples, which CLIP and which BERT.
    left_out : dict of str
        What is missing altogether, and why: a measure, or a method.
    """

    results: dict[str, dict[str, Spread]]
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "method": self.method,
            "settings": self.settings,
            "methods": {
                method: {measure: spread.to_dict() for measure, spread in figures.items()}
                for method, figures in self.results.items()
            },
            "left_out": self.left_out,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Evaluation":
        """The inverse of :meth:`to_dict`."""
        results = {
            method: {measure: Spread.of(figure["values"]) for measure, figure in figures.items()}
            for method, figures in values["methods"].items()
        }
        return cls(results, values["method"], dict(values["settings"]), dict(values["left_out"]))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes :meth:`to_dict` as a JSON file."""
        return write_json(path, self.to_dict())

    def summary(self) -> dict[str, Any]:
        """The dictionary's own figures, as JSON values: mean and standard deviation over seeds by measure."""
        own = self.results[self.method]
        return {
            "settings": self.settings,
            "figures": {measure: {"mean": spread.mean, "std": spread.std} for measure, spread in own.items()},
        }

    def label(self, method: str) -> str:
        """What to call a method in front of people."""
        return METHODS.get(method, method) + (" (this dictionary)" if method == self.method else "")

    def table(self, form: str = "text") -> str:
        """All figures, one row a method: ``form`` is "text", "markdown" or "html".

        Raises
        ------
        ValueError
            If it is none of these.
        """
        from coxlmm.evaluation.table import evaluation_table

        return evaluation_table(self, form)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A figure of matplotlib, one panel a measure, saved where a path is given: see
        :func:`coxlmm.evaluation.figure.evaluation_figure`."""
        from coxlmm.evaluation.figure import evaluation_figure

        return evaluation_figure(self, path)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return self.table("html")


def write_json(path: str | os.PathLike[str], values: Any) -> Path:
    """Writes JSON, all or nothing."""
    return write_file(path, (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
