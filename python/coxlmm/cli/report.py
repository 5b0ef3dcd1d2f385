"""``coxlmm report``: a dictionary -> a page."""

from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import say
from coxlmm.cli.options import DeviceMap, Dictionary, Dtype, Model, load_for


def report(
    dictionary: Dictionary,
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    explain: Annotated[
        list[Path] | None, typer.Option(metavar="IMAGE", help="Explain this image on the page; repeat for more.")
    ] = None,
    model: Model = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Write a page about a dictionary that opens in any browser."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    explanations = []
    if explain:
        lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
        explanations = [loaded.explain(lmm, image) for image in explain]
    say(f"report: {loaded.report(out, explanations=explanations, title=title)}")
