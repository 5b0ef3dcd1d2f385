"""``coxlmm explain``: an image -> its concepts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import say, show
from coxlmm.cli.options import DeviceMap, Dictionary, Dtype, HeatMaps, ImageFile, Model, load_for, require_image


def explain(
    dictionary: Dictionary,
    image: ImageFile,
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
    from coxlmm.report import write_explanation

    loaded = ConceptDictionary.from_pretrained(dictionary)
    require_image(image)
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    method = None if heat_maps == "none" or not (out or as_json) else heat_maps
    explanation = loaded.explain(lmm, image, n_concepts=n_concepts, heat_maps=method)
    if out is not None:
        say(f"explanation: {write_explanation(explanation, out, title=image.name)}")
    if as_json:
        show(json.dumps(explanation.to_dict(), ensure_ascii=False, indent=1))
    else:
        show(str(explanation))
