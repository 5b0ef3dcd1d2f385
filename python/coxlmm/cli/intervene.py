"""``coxlmm intervene``: an image -> what the model says of it without a concept, or with more of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.options import DeviceMap, Dtype, Model, load_for


def intervene(
    dictionary: Annotated[Path, typer.Argument(metavar="DICTIONARY", help="Directory that fit wrote.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    concept: Annotated[int, typer.Option(help="The concept's number.", min=0)],
    factor: Annotated[
        float | None, typer.Option(help="What its activation is multiplied with. Default: 0, which removes it.")
    ] = None,
    add: Annotated[
        float | None, typer.Option(help="Instead: what is added to it, in units of its mean where it is active.")
    ] = None,
    positions: Annotated[
        str,
        typer.Option(
            help='Whether the state that predicts the word is changed ("word"), or later ones too ("from-word").'
        ),
    ] = "word",
    n_random: Annotated[int, typer.Option(help="Random directions to compare with.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of the random directions.")] = 0,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Remove or amplify a concept while the model writes, beside random changes of equal size."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    if not image.is_file():
        raise FileNotFoundError(f"there is no image {image}")
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    intervention = loaded.intervene(
        lmm, image, concept, factor=factor, add=add, positions=positions, n_random=n_random, seed=seed
    )
    if as_json:
        typer.echo(json.dumps(intervention.to_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo(str(intervention))
