"""How the program speaks, and how it fails."""

import traceback
from typing import Any

import typer
from typer.core import TyperGroup


def say(message: str) -> None:
    """Tells the person who runs the program; standard output is for results."""
    typer.echo(message, err=True)


class Group(TyperGroup):
    """Prints what went wrong in one line, without a traceback, and ends with status 1.

    Errors that are the program's own (AttributeError, AssertionError, ...) are left alone: they are to be reported.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError) as error:
            if isinstance(error, (typer.Exit, typer.Abort)):  # how commands end is a RuntimeError too
                raise
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            message = " ".join(str(error).split()) or type(error).__name__
            typer.echo(f"error: {message}", err=True)
            raise typer.Exit(1) from error
