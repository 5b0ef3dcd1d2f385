"""Evaluations and choices as tables: in a terminal, in Markdown, in a page."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from coxlmm.evaluation.measures import MEASURES, METHODS
from coxlmm.markdown import quoted

if TYPE_CHECKING:
    from coxlmm.evaluation.choose import Choice
    from coxlmm.evaluation.result import Evaluation

_ARROWS = {"higher": "↑", "lower": "↓"}
_WIDTH = 6  # figures side by side in a terminal
_HEADER = 14  # characters
_OF_CANDIDATES = {
    "held_out_error": MEASURES["held_out_error"],
    "stability": MEASURES["stability"],
    "mean_active": MEASURES["mean_active"],
    "relative_error": MEASURES["relative_error"],
}


def evaluation_table(evaluation: "Evaluation", form: str) -> str:
    """Methods in rows, measures in columns, with what is left out below: see :meth:`Evaluation.table`."""
    measures = [name for name in MEASURES if any(name in figures for figures in evaluation.results.values())]
    header = ["", *(f"{MEASURES[name].label} {_ARROWS[MEASURES[name].better]}" for name in measures)]
    rows = [
        [_label(evaluation, method, form), *(str(figures[name]) if name in figures else "" for name in measures)]
        for method, figures in evaluation.results.items()
    ]
    return _written(form, header, rows, _notes(evaluation.left_out, form))


def choice_table(choice: "Choice", form: str) -> str:
    """Candidates in rows, the recommended one marked: see :meth:`Choice.table`."""
    header = [""]
    for label, better in _OF_CANDIDATES.values():
        header.append(f"{label} {_ARROWS[better]}")
    header += ["stability of random states", "distance to the ideal"]
    rows = []
    for one in choice.candidates:
        label = f"{one.n_components} concepts, l1={one.l1:.4g}" + (", recommended" * (one is choice.recommended))
        figures = [str(getattr(one, name)) for name in [*_OF_CANDIDATES, "chance"]]
        rows.append([label, *figures, "" if one.distance is None else f"{one.distance:.3f}"])
    return _written(form, header, rows, _notes(choice.left_out, form))


def _label(evaluation: "Evaluation", method: str, form: str) -> str:
    label = evaluation.label(method)
    return label if form != "markdown" or method in METHODS else quoted(label)


def _notes(left_out: Mapping[str, str], form: str) -> list[str]:
    shown = quoted if form == "markdown" else str
    return [f"left out: {shown(name)}: {shown(reason)}" for name, reason in left_out.items()]


def _written(form: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    forms = {"text": _text, "markdown": _markdown, "html": _html}
    if form not in forms:
        raise ValueError(f"form must be one of {', '.join(map(repr, forms))}, got {form!r}")
    return forms[form](header, rows, notes)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
    return "\n\n".join([table, *notes])


def _html(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of a terminal, numbers to the right; headers stand in as many lines as they need."""
    heads = [wrap(column, _HEADER) or [""] for column in header]
    lines = [list(line) for line in zip_longest(*heads, fillvalue="")] + [list(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def _text(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    blocks = []
    for start in range(1, len(header), _WIDTH):
        some = slice(start, start + _WIDTH)
        # A method to which nothing of a block applies is not in it.
        shown = [[row[0], *row[some]] for row in rows if any(row[some])]
        blocks.append(_aligned(["", *header[some]], shown))
    return "\n\n".join([*blocks, "\n".join(notes)]).rstrip()
