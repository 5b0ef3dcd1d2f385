"""Foreign text in Markdown."""

from typing import Any


def quoted(value: Any) -> str:
    """A code span, in which nothing is markup; nothing for None, or for text that is blank.

    Of what would end it, or the cell of a table, there is a look-alike.
    """
    text = "" if value is None else " ".join(str(value).split()).replace("`", "'").replace("|", "¦")
    return f"`{text}`" if text else ""
