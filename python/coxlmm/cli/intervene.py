"""``coxlmm intervene`` and ``coxlmm effects``: what the model says without a concept, or with more of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import say, show
from coxlmm.cli.options import (
    AsJson,
    DeviceMap,
    Dictionary,
    Dtype,
    ImageFile,
    Model,
    directory_of,
    images_of,
    load_for,
    require_image,
)

NRandom = Annotated[
    int, typer.Option(help="Random directions to compare with, of either kind; 19 are needed to tell.", min=19)
]
BranchesAtATime = Annotated[int, typer.Option("--batch-size", help="Captions written at a time.", min=1)]
DirectionsSeed = Annotated[int, typer.Option("--seed", help="Seed of the random directions.")]


def intervene(
    dictionary: Dictionary,
    image: ImageFile,
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
    n_random: NRandom = 20,
    seed: DirectionsSeed = 0,
    batch_size: BranchesAtATime = 64,
    model: Model = None,
    as_json: AsJson = False,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Remove or amplify a concept while the model writes, beside random changes of equal size."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    require_image(image)
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    intervention = loaded.intervene(
        lmm,
        image,
        concept,
        factor=factor,
        add=add,
        positions=positions,
        n_random=n_random,
        seed=seed,
        batch_size=batch_size,
    )
    if as_json:
        show(json.dumps(intervention.to_dict(), ensure_ascii=False, indent=1))
    else:
        show(str(intervention))


def effects(
    dictionary: Dictionary,
    images: Annotated[
        str | None, typer.Option(help="Where the images of the fit are. Default: where their names say.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write. Default: DICTIONARY itself, unless it is of the hub.")
    ] = None,
    n_images: Annotated[int, typer.Option(help="Images for each concept.", min=1)] = 8,
    n_random: NRandom = 20,
    seed: DirectionsSeed = 0,
    batch_size: BranchesAtATime = 64,
    model: Model = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Find out what removing each concept changes, and keep it with the dictionary for its report."""
    from coxlmm import ConceptDictionary
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.serialization import holds_dictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    out = directory_of(dictionary, "say where to, with --out") if out is None else out
    ensure_replaceable(out, holds_dictionary)
    lmm = load_for(loaded.manifest, model, dtype, device_map, "dictionary")
    loaded.measure_effects(
        lmm,
        images_of(images, None),
        n_images=n_images,
        n_random=n_random,
        seed=seed,
        batch_size=batch_size,
        progress=True,
    )
    row = "{:>7}  {:>13}  {:>13}  {:>19}  {}"
    show("Divergence in nats and part of the captions changed, without a concept and by random changes as large:")
    show(row.format("concept", "without it", "any direction", "where states differ", ""))
    measured = [concept for concept in loaded.concepts if concept.effect is not None]
    for concept in sorted(measured, key=lambda c: -c.effect.divergence):
        e = concept.effect
        cells = [
            f"{divergence:.3g} {changed:>4.0%}"
            for divergence, changed in (
                (e.divergence, e.caption_changed),
                (e.random_divergence, e.random_caption_changed),
                (e.matched_divergence, e.matched_caption_changed),
            )
        ]
        said = ", ".join(word.text for word in concept.words[:5])
        verdict = "no more than chance" if e.is_nothing else "more than both" if e.is_specific else "more than chance"
        show(row.format(concept.index, *cells, f"{verdict}: {said}"))
    loaded.save_pretrained(out)
    say(f"dictionary: {out}")
