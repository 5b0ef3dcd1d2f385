"""An evaluation as a table: in a terminal, in Markdown, in a page."""

from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from coxlmm.evaluation.measures import MEASURES

if TYPE_CHECKING:
    from coxlmm.evaluation.result import Evaluation

_ARROWS = {"higher": "↑", "lower": "↓"}
_WIDTH = 6  # figures side by side in a terminal
_HEADER = 14  # characters


def evaluation_table(evaluation: "Evaluation", form: str) -> str:
    """Methods in rows, measures in columns, with what is left out below: see :meth:`Evaluation.table`.

    Raises
    ------
    ValueError
        If ``form`` is none of "text", "markdown" and "html".
    """
    forms = {"text": _text, "markdown": markdown, "html": html}
    if form not in forms:
        raise ValueError(f"form must be one of {', '.join(map(repr, forms))}, got {form!r}")
    measures = [name for name in MEASURES if any(name in figures for figures in evaluation.results.values())]
    header = ["", *(f"{MEASURES[name].label} {_ARROWS[MEASURES[name].better]}" for name in measures)]
    rows = [
        [evaluation.label(method), *(str(figures[name]) if name in figures else "" for name in measures)]
        for method, figures in evaluation.results.items()
    ]
    notes = [f"left out: {name}: {reason}" for name, reason in evaluation.left_out.items()]
    return forms[form](header, rows, notes)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
    return "\n\n".join([table, *notes])


def html(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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
        blocks.append(aligned(["", *header[some]], shown))
    return "\n\n".join([*blocks, "\n".join(notes)]).rstrip()
