"""The commands that measure: ``coxlmm evaluate`` and ``coxlmm choose``."""

from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import say, show
from coxlmm.cli.options import (
    AsMarkdown,
    BatchSize,
    DeviceMap,
    Dictionary,
    Dtype,
    Model,
    StatesDirectory,
    directory_of,
    images_of,
    load_for,
    states_at,
)

Plot = Annotated[Path | None, typer.Option(help="File for a figure: .png, .svg, .pdf.")]


def evaluate(
    dictionary: Dictionary,
    states: Annotated[Path, typer.Option(help="Directory of the states that it was fitted to.")],
    test_states: Annotated[
        Path | None,
        typer.Option(help="Directory of states of other images. Default: they are extracted from --images."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(help="Images that the dictionary has not seen: those of --test-states, if they have moved."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Reference captions of --images, as extract takes them; without --test-states.")
    ] = None,
    clip: Annotated[str | None, typer.Option(help="A CLIP or SigLIP: directory or repository. For CLIPScore.")] = None,
    bert: Annotated[str | None, typer.Option(help="A BERT: directory or repository. For BERTScore.")] = None,
    bert_layer: Annotated[int | None, typer.Option(help="Which layer of it is compared. Default: the last.")] = None,
    n_seeds: Annotated[int, typer.Option(help="Fits of each method.", min=1)] = 5,
    n_top: Annotated[int, typer.Option(help="Concepts of an image that are judged by their words.", min=1)] = 3,
    n_words: Annotated[
        int | None, typer.Option(help="Words for each concept. Default: as many as the dictionary has.", min=1)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
    plot: Plot = None,
    markdown: AsMarkdown = False,
    update: Annotated[
        bool, typer.Option("--update", help="Keep stability and figures in the dictionary, for its card and report.")
    ] = False,
    batch_size: BatchSize = 16,
    model: Model = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Measure a dictionary beside baselines, chance and a ceiling."""
    from coxlmm import ConceptDictionary
    from coxlmm.evaluation import BertModel
    from coxlmm.figures import require_format
    from coxlmm.samples import open_source
    from coxlmm.settings import options_of
    from coxlmm.states import StatesGroup

    if plot is not None:
        require_format(plot)
    if test_states is None and images is None:
        raise ValueError("name images that the dictionary has not seen with --images, or their --test-states")
    if test_states is not None and references is not None:
        raise ValueError("--references go with --images; states have brought their own: leave out one of the two")
    loaded, fitted_to = ConceptDictionary.from_pretrained(dictionary), states_at(states)
    kept = directory_of(dictionary, "leave out --update, or name a directory with a copy of it") if update else None
    if test_states is None and loaded.word is None:
        raise ValueError("the dictionary does not know its word, so that its states are not found: give --test-states")
    lmm = load_for(fitted_to.manifest, model, dtype, device_map, "states")
    if test_states is None:
        source = open_source(images, references=references)
        options = options_of(fitted_to.manifest)
        found = lmm.extract(source, loaded.word, batch_size=batch_size, progress=True, **options)
        held_out = found.together() if isinstance(found, StatesGroup) else found
        source = open_source(images)
    else:
        held_out = states_at(test_states)
        # Only CLIP looks at them.
        source = None if clip is None else images_of(images, held_out.manifest.get("source"))
    evaluation = loaded.evaluate(
        lmm,
        fitted_to,
        held_out,
        images=source,
        clip=clip,
        bert=None if bert is None else BertModel(bert, bert_layer),
        n_seeds=n_seeds,
        n_top=n_top,
        n_words=n_words,
        progress=lambda method: say(f"evaluating {method}"),
    )
    show(evaluation.table("markdown" if markdown else "text"))
    if out is not None:
        say(f"figures: {evaluation.save(out)}")
    if plot is not None:
        evaluation.plot(plot)
        say(f"plot: {plot}")
    if kept is not None:
        say(f"dictionary: {loaded.save_pretrained(kept)}")


def choose(
    states: StatesDirectory,
    n_concepts: Annotated[list[int] | None, typer.Option(help="Numbers of concepts to try; repeat for more.")] = None,
    l1: Annotated[
        list[float] | None,
        typer.Option(
            help="Sparsity penalties to try, in the unit of the states; repeat for more. Default: those at which a "
            "concept is used where it explains 1%, 3%, 10% and 30% of the length of a typical state."
        ),
    ] = None,
    n_seeds: Annotated[int, typer.Option(help="Fits of each.", min=2)] = 3,
    held_out: Annotated[float, typer.Option(help="Share of the samples that no fit sees.")] = 0.2,
    out: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
    plot: Plot = None,
    markdown: AsMarkdown = False,
) -> None:
    """Try numbers of concepts and sparsity penalties, and recommend one of each for fit."""
    from tqdm import tqdm

    from coxlmm.evaluation import choose
    from coxlmm.figures import require_format

    if plot is not None:
        require_format(plot)
    with tqdm(unit="candidate", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        given = {"n_components": n_concepts} if n_concepts else {}
        choice = choose(
            states_at(states), **given, l1=l1 or None, n_seeds=n_seeds, held_out=held_out, progress=progress
        )
    show(choice.table("markdown" if markdown else "text"))
    best = choice.recommended
    say(f"recommended: coxlmm fit {states} --n-concepts {best.n_components} --l1 {best.l1:.4g} --out dictionary/")
    if out is not None:
        say(f"figures: {choice.save(out)}")
    if plot is not None:
        choice.plot(plot)
        say(f"plot: {plot}")
