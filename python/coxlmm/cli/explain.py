"""``coxlmm explain``: an image -> its concepts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.options import DeviceMap, Dtype, Model, load_for


def explain(
    dictionary: Annotated[Path, typer.Argument(metavar="DICTIONARY", help="Directory that fit wrote.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    model: Model = None,
    n_concepts: Annotated[int, typer.Option(help="Concepts named, at most.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Name the concepts behind the word in an image's caption."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    if not image.is_file():
        raise FileNotFoundError(f"there is no image {image}")
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    explanation = loaded.explain(lmm, image, n_concepts=n_concepts)
    if as_json:
        typer.echo(json.dumps(explanation.to_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo(str(explanation))
