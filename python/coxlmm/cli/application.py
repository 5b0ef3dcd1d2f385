"""How the program speaks, and how it fails."""

import re
import traceback
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from coxlmm.errors import CoxlmmError

# What a terminal obeys, or what makes it show text in another order, and surrogates, which it cannot be sent. Tab and
# newline are text. All are of four hexadecimal digits, so that JSON in which they are replaced says the same.
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text in which control characters are spelt out, ``\u001b``.

    Words, captions and names are those of a model, a file or a repository. Printed as they are they might rename the
    window, or write over what stands above them.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(message: str) -> None:
    """Tells the person who runs the program; standard output is for results."""
    typer.echo(visible(message), err=True)


def show(result: str) -> None:
    """Prints a result, of as many lines as it has."""
    typer.echo(visible(result))


class Group(TyperGroup):
    """Prints what went wrong in one line, without a traceback, and ends with status 1.

    That is for what the person can mend: values, files, packages that are missing, what the library refuses. Whatever
    else is raised (KeyError, TypeError, AssertionError, ...) is a mistake of the program, and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _say_warning
                return super().invoke(ctx)
        except (ValueError, OSError, ImportError, CoxlmmError) as error:
            debug = ctx.params.get("debug")
            if debug:
                say("".join(traceback.format_exception(error)).rstrip())
            message = " ".join(str(error).split()) or type(error).__name__
            say(f"error: {message}" + ("" if debug else " (coxlmm --debug ... shows where)"))
            raise typer.Exit(1) from error


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {' '.join(str(message).split())}")
