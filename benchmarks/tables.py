"""Sections of the report, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Section:
    name: str
    title: str
    text: str
    columns: list[str]
    rows: list[list[str]]
    records: list[dict[str, Any]]  # the same in numbers

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.text, ""]
        table = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in table]) + "\n"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def seconds(values: Sequence[float] | None, *, censored: bool = False, scale: float = 1) -> str:
    """Median and range."""
    if not values:
        return "-"
    scaled = [v * scale for v in values]
    text = (">" if censored else "") + _digits(median(scaled))
    return text if len(values) == 1 else f"{text} [{_digits(min(scaled))}-{_digits(max(scaled))}]"


def ratio(value: float | None, *, censored: bool = False, least: float = 0, most: float = 0) -> str:
    """A ratio of medians; ``least`` and ``most`` where both sides were repeated."""
    if value is None:
        return "-"
    spread = f" [{_digits(least)}-{_digits(most)}]" if least < most else ""
    return f"{'>= ' if censored else ''}{_digits(value)}x{spread}"


def write(folder: Path, heading: str, sections: Sequence[Section], machine: dict[str, Any]) -> Path:
    """``table.md`` and ``table.json``."""
    described = "\n".join(f"- {key}: {value}" for key, value in machine.items())
    text = f"# {heading}\n\n{described}\n\n" + "\n".join(section.markdown() for section in sections)
    path = folder / "table.md"
    path.write_text(text)
    content = {"machine": machine, "sections": {s.name: s.records for s in sections}}
    (folder / "table.json").write_text(json.dumps(content, indent=1))
    return path
