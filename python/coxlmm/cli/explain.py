"""``coxlmm explain``: an image -> its concepts."""

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coxlmm.cli.application import say
from coxlmm.cli.options import DeviceMap, Dtype, HeatMaps, Model, load_for

if TYPE_CHECKING:
    from coxlmm.explanation import Explanation

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def explain(
    dictionary: Annotated[Path, typer.Argument(metavar="DICTIONARY", help="Directory that fit wrote.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    model: Model = None,
    n_concepts: Annotated[int, typer.Option(help="Concepts named, at most.", min=1)] = 5,
    heat_maps: HeatMaps = "auto",
    out: Annotated[Path | None, typer.Option(help="Write a page with pictures and heat maps, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, heat maps included.")] = False,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Name the concepts behind the word in an image's caption, and where in the image they are."""
    from coxlmm import ConceptDictionary
    from coxlmm.atomic import write_file

    loaded = ConceptDictionary.from_pretrained(dictionary)
    if not image.is_file():
        raise FileNotFoundError(f"there is no image {image}")
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    method = None if heat_maps == "none" or not (out or as_json) else heat_maps
    explanation = loaded.explain(lmm, image, n_concepts=n_concepts, heat_maps=method)
    if out is not None:
        say(f"explanation: {write_file(out, _page(explanation, image.name))}")
    if as_json:
        typer.echo(json.dumps(explanation.to_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo(str(explanation))


def _page(explanation: "Explanation", title: str) -> bytes:
    """What a notebook shows, as a page of its own that asks for nothing."""
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<body style="font-family: system-ui, sans-serif; margin: 2rem">
{explanation._repr_html_()}
</body>
</html>
"""
    return page.encode("utf-8", "replace")
