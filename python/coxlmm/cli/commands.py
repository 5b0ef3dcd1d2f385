"""What can be asked for, and with which options."""

from typing import Annotated

import typer

from coxlmm.cli.application import Group
from coxlmm.cli.demo import demo
from coxlmm.cli.evaluation import choose, evaluate
from coxlmm.cli.explain import explain
from coxlmm.cli.extraction import extract, verify
from coxlmm.cli.fit import fit
from coxlmm.cli.intervene import effects, intervene
from coxlmm.cli.published import import_published
from coxlmm.cli.report import report
from coxlmm.cli.sharing import compare, plot, push
from coxlmm.cli.vocabulary import vocabulary

HELP = """What a frozen multimodal model represents where it writes a word.

\b
  coxlmm demo                     all of the following, on a small model
  coxlmm extract MODEL images/ --word dog --out states/
  coxlmm choose states/
  coxlmm fit states/ --n-concepts 20 --out dictionary/
  coxlmm report dictionary/ --out report.html
  coxlmm explain dictionary/ photo.jpg
  coxlmm intervene dictionary/ photo.jpg --concept 3
  coxlmm effects dictionary/ --images images/
  coxlmm evaluate dictionary/ --states states/ --images unseen/
  coxlmm plot dictionary/ --out concepts.svg
  coxlmm compare dictionary/ other/
  coxlmm push dictionary/ user/name
"""
app = typer.Typer(
    cls=Group, help=HELP, rich_markup_mode=None, add_completion=False, no_args_is_help=True,
    pretty_exceptions_enable=False,
)  # fmt: skip


def _print_version(asked: bool) -> None:
    if asked:
        from coxlmm import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """What the program itself understands; --debug is read where errors are printed."""


for command in (
    demo, vocabulary, extract, verify, import_published, fit, report, explain, intervene, effects, choose, evaluate,
    plot, compare, push,
):  # fmt: skip
    app.command()(command)
