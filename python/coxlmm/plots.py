"""Figures of concepts for papers: the images that activate each most, in a row, and its words beneath."""

import io
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from coxlmm.concept import Concept
from coxlmm.dictionary import ConceptDictionary
from coxlmm.figures import (
    DPI,
    MISSING,
    fonts_of,
    matplotlib_figure,
    one_line,
    require_format,
    save_figure,
)
from coxlmm.grounding import ImageHit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are in inches; one unit of the axes is one.
_WIDTH = 7.0  # of the text of a page
_COLUMN_GAP, _ROW_GAP, _TILE_GAP, _MARGIN = 0.3, 0.2, 0.04, 0.06
_TITLE, _LINE, _WORDS_GAP = 0.19, 0.15, 0.04
_LARGEST_TILE = 1.4
_ONE_COLUMN = 3  # concepts up to which they stand one below the other
_TITLE_SIZE, _WORDS_SIZE = 9.0, 8.0  # points
_MOST_LINES = 3


def concepts_figure(
    dictionary: ConceptDictionary,
    concepts: Sequence[int] | None = None,
    *,
    n_images: int = 5,
    n_words: int = 5,
    heat: bool = False,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """A panel for every concept: its number, its images in a row, and its words beneath.

    That is the layout of the paper's figures of concepts. The figure is as wide as the text of a page, 7 inches.
    Nothing of matplotlib's state is changed, and no display is needed.

    Parameters
    ----------
    dictionary : ConceptDictionary
        Grounded.
    concepts : sequence of int, optional
        Which, in this order. Default: all, those with the largest share of activation first.
    n_images, n_words : int
        Of each concept, at most. Without any image (``n_images=0``, or none is in the dictionary) words stand alone.
    heat : bool
        Whether to lay over each image where it activates the concept, where the dictionary knows it.
    path : path, optional
        Where to save it: a name that ends in .png, .svg or .pdf. It is written whole or not at all, and of one
        dictionary has the same bytes every time. Text stays text in SVG, and in PDF its fonts are TrueType.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the dictionary is not grounded, a concept is none of it, a number is negative, or the name ends otherwise.
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    if not dictionary.words:
        raise ValueError("the dictionary is not grounded yet: call ground(lmm, images=...) before plot")
    if n_images < 0 or n_words < 1:
        raise ValueError(f"n_images must be at least 0 and n_words at least 1, got {n_images} and {n_words}")
    if path is not None:
        require_format(path)
    chosen = _chosen(dictionary, concepts)
    figures = matplotlib_figure()
    n_columns = 1 if len(chosen) <= _ONE_COLUMN else 2
    width = (_WIDTH - 2 * _MARGIN - (n_columns - 1) * _COLUMN_GAP) / n_columns
    n_tiles = min(n_images, max(sum(hit.thumbnail is not None for hit in concept.images) for concept in chosen))
    tile = min(_LARGEST_TILE, (width - (n_tiles - 1) * _TILE_GAP) / n_tiles) if n_tiles else 0.0
    figure = figures.Figure(figsize=(_WIDTH, 1), dpi=DPI, facecolor="white", layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    texts = [_lines(figure, [word.text for word in concept.words[:n_words]], width) for concept in chosen]
    rows = [range(start, min(start + n_columns, len(chosen))) for start in range(0, len(chosen), n_columns)]
    heights = [_TITLE + tile + _WORDS_GAP + max(len(texts[p]) for p in row) * _LINE for row in rows]
    total = sum(heights) + (len(rows) - 1) * _ROW_GAP + 2 * _MARGIN
    figure.set_size_inches(_WIDTH, total)
    top = total - _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, p in enumerate(row):
            left = _MARGIN + column * (width + _COLUMN_GAP)
            _panel(axes, chosen[p], texts[p], left, top, tile, n_tiles, heat)
        top -= height + _ROW_GAP
    # After the images, each of which would set them to its own.
    axes.set(xlim=(0, _WIDTH), ylim=(0, total), aspect="auto")
    if path is not None:
        save_figure(figure, path)
    return figure


def _chosen(dictionary: ConceptDictionary, concepts: Sequence[int] | None) -> list[Concept]:
    known = dictionary.concepts
    if concepts is None:
        return sorted(known, key=lambda concept: -concept.share_of_activation)
    strange = [k for k in concepts if not 0 <= k < len(known)]
    if strange or not len(concepts):
        raise ValueError(f"concepts must be some of 0 to {len(known) - 1}, got {list(concepts)}")
    return [known[k] for k in concepts]


def _panel(
    axes: "Axes", concept: Concept, lines: list[str], left: float, top: float, tile: float, n_tiles: int, heat: bool
) -> None:
    _write(axes, f"Concept {concept.index}", left, top, size=_TITLE_SIZE, weight="bold", va="top")
    top -= _TITLE
    hits = [hit for hit in concept.images if hit.thumbnail is not None][:n_tiles]
    for i, hit in enumerate(hits):
        _tile(axes, hit, left + i * (tile + _TILE_GAP), top - tile, tile, heat)
    for i, line in enumerate(lines):
        _write(axes, line, left, top - tile - _WORDS_GAP - i * _LINE, size=_WORDS_SIZE, va="top")


def _tile(axes: "Axes", hit: ImageHit, left: float, bottom: float, side: float, heat: bool) -> None:
    """An image, whole, in the middle of a square."""
    with Image.open(io.BytesIO(hit.thumbnail)) as opened:
        picture = np.asarray(opened.convert("RGB"))
    rows, columns = picture.shape[:2]
    width, height = (side * size / max(rows, columns) for size in (columns, rows))
    x, y = left + (side - width) / 2, bottom + (side - height) / 2
    box = (x, x + width, y, y + height)
    # Whatever the reader's own settings of images are.
    style = {"extent": box, "aspect": "auto", "origin": "upper"}
    axes.imshow(picture, interpolation="auto", **style)
    if heat and hit.heat is not None:
        axes.imshow(hit.heat, cmap="inferno", vmin=0, vmax=1, alpha=0.5, interpolation="bilinear", **style)


def _lines(figure: "Figure", words: list[str], width: float) -> list[str]:
    """The words in lines no wider than a panel; of more than a few lines the last ends in dots."""
    lines = [""]
    for i, word in enumerate(words):
        piece = word + ("," if i < len(words) - 1 else "")
        longer = f"{lines[-1]} {piece}".strip()
        if not lines[-1] or _width(figure, longer) <= width:
            lines[-1] = longer
        else:
            lines.append(piece)
    shown = [_cut(figure, line, width) for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        shown[-1] = _cut(figure, lines[_MOST_LINES - 1].rstrip(","), width, more=True)
    return shown


def _cut(figure: "Figure", line: str, width: float, *, more: bool = False) -> str:
    """A word alone may be wider than a panel; dots say that there is more."""
    if not more and _width(figure, line) <= width:
        return line
    while line and _width(figure, f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"


def _width(figure: "Figure", line: str) -> float:
    text = _write(figure, line, 0, 0, size=_WORDS_SIZE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)  # they are told of where the figure is saved
        width = text.get_window_extent().width
    text.remove()
    return width / figure.dpi


def _write(on: Any, line: str, x: float, y: float, **style: Any) -> Any:
    """Text as it is: neither TeX nor matplotlib's own mathematics is looked for in the words of a model."""
    line = one_line(line)
    return on.text(x, y, line, family=fonts_of(line), color="#1a1a1a", parse_math=False, usetex=False, **style)
