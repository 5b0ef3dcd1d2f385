"""How the program speaks, and how it fails."""

import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from coxlmm.errors import CoxlmmError


def say(message: str) -> None:
    """Tells the person who runs the program; standard output is for results."""
    typer.echo(message, err=True)


class Group(TyperGroup):
    """Prints what went wrong in one line, without a traceback, and ends with status 1.

    That is for what the person can mend: values, files, packages that are missing, what the library refuses. Whatever
    else is raised (KeyError, TypeError, AssertionError, ...) is a mistake of the program, and keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ImportError, CoxlmmError) as error:
            debug = ctx.params.get("debug")
            if debug:
                traceback.print_exception(error)
            message = " ".join(str(error).split()) or type(error).__name__
            typer.echo(f"error: {message}" + ("" if debug else " (coxlmm --debug ... shows where)"), err=True)
            raise typer.Exit(1) from error
