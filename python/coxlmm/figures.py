"""What all figures have in common: matplotlib without its state, text that is only text, and files written whole."""

import io
import os
import re
import warnings
from contextlib import AbstractContextManager
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from coxlmm.atomic import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
MISSING = r"Glyph (\d+) .*missing from"  # matplotlib's warning
# Text that can be searched and edited, fonts that journals take, images that can be taken out one by one. What models
# and data sets say is no TeX, whose engine a dollar sign would start.
_SETTINGS = {
    "svg.fonttype": "none", "svg.hashsalt": "coxlmm", "pdf.fonttype": 42, "image.composite_image": False,
    "text.parse_math": False,
}  # fmt: skip
# Date and random names would make other bytes of the same figure.
_METADATA = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
_FONT = "DejaVu Sans"  # which comes with matplotlib
# What has the characters that it lacks, where that is installed.
_MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "Arial Unicode MS", "Noto Sans",
    "Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Arabic",
)  # fmt: skip


def matplotlib_figure() -> ModuleType:
    """``matplotlib.figure``, which needs no display.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise ImportError('figures need the package matplotlib: pip install "coxlmm[plots]"') from error
    return matplotlib.figure


def own_settings() -> AbstractContextManager[Any]:
    """matplotlib's defaults and what figures need besides, whatever the reader's own settings are, which come back.

    What is drawn takes its settings when it is made, some of it only when the figure is saved.
    """
    import matplotlib.style

    return matplotlib.style.context(_SETTINGS, after_reset=True)


def require_format(path: str | os.PathLike[str]) -> str:
    """The ending of a figure's name, in lower case: ".png", ".svg" or ".pdf".

    Raises
    ------
    ValueError
        If it is another.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in _METADATA:
        raise ValueError(f"a figure's name must end in {', '.join(_METADATA)}, which say its format; got {str(path)!r}")
    return suffix


def one_line(text: str) -> str:
    """Text as a figure can have it: without line breaks, null characters and surrogates."""
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", "").split())


def fonts_of(text: str) -> list[str]:
    """Names of installed fonts for a text, in the order in which they are asked for its characters."""
    from matplotlib.font_manager import fontManager

    if text.isascii():
        return [_FONT]
    installed = set(fontManager.get_font_names())
    return [_FONT, *(name for name in _MORE_FONTS if name in installed)]


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Writes a figure whole or not at all, in the format of the name's ending; of one figure always the same bytes.

    There is a warning where no installed font has a character.

    Raises
    ------
    ValueError
        If the name ends otherwise than :func:`require_format` says.
    """
    suffix = require_format(path)
    buffer = io.BytesIO()
    with own_settings(), warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", MISSING)
        figure.savefig(buffer, format=suffix[1:], dpi=DPI, metadata=_METADATA[suffix])
    missing = sorted({found[1] for found in (re.match(MISSING, str(w.message)) for w in caught) if found})
    if missing and suffix != ".svg":
        warnings.warn(
            f"no font that is installed has {' '.join(chr(int(number)) for number in missing)}, for which there are "
            f"boxes in {os.fspath(path)}: install one that has, or save as .svg, whose text any reader sets",
            stacklevel=4,
        )
    write_file(path, buffer.getvalue())
