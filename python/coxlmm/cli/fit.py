"""``coxlmm fit``: states -> a dictionary."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coxlmm.cli.application import say
from coxlmm.cli.options import (
    L1_HELP,
    DeviceMap,
    Dtype,
    HeatMaps,
    Model,
    NConcepts,
    Seed,
    StatesDirectory,
    StopWords,
    images_of,
    load_for,
    states_at,
)

if TYPE_CHECKING:
    from coxlmm.dictionary import ConceptDictionary
    from coxlmm.grounding import PublishedFilter, WordFilter
    from coxlmm.models import LMM

_TOO_MANY_ACTIVE = 0.9  # of all concepts, in the average state


def fit(
    states: StatesDirectory,
    out: Annotated[Path, typer.Option(help="Directory for the dictionary.")],
    n_concepts: NConcepts = 20,
    l1: Annotated[float | None, typer.Option(help=f"{L1_HELP} Default: 1, or 0.03 with --whiten.", min=0)] = None,
    whiten: Annotated[
        float | None,
        typer.Option(
            help="Decompose differences from the mean state, with directions of small variance enlarged: 0 not at all, "
            "0.5 halfway, 1 until all have the same. Finds what is faint; --l1 is then for states of a length of 1.",
            min=0,
            max=1,
        ),
    ] = None,
    seed: Seed = 0,
    stability: Annotated[
        int, typer.Option(help="Fit again from so many other seeds, and say how well they find each concept.", min=0)
    ] = 0,
    model: Model = None,
    images: Annotated[
        str | None, typer.Option(help="Where the images are, if they are not where they were extracted from.")
    ] = None,
    n_images: Annotated[int, typer.Option(help="Images for each concept.", min=1)] = 8,
    diverse: Annotated[bool, typer.Option("--diverse", help="Images that are nearly the same count as one.")] = False,
    heat_maps: HeatMaps = "none",
    n_words: Annotated[int, typer.Option(help="Words for each concept.", min=1)] = 10,
    contrast: Annotated[
        str,
        typer.Option(
            help='What tells concepts apart: "shared" leaves out words that most of them begin with, "mean" subtracts '
            'the mean concept, "none".'
        ),
    ] = "shared",
    language: Annotated[
        list[str] | None,
        typer.Option(help='Keep words of this language, "en": no names of variables, no beginnings. May be repeated.'),
    ] = None,
    min_zipf: Annotated[
        float, typer.Option(help="How common they must be: 3 is once in a million words, 4 ten times.")
    ] = 3.0,
    inflections: Annotated[
        str | None, typer.Option(help='Language, "en": forms of one word are one ("dogs", "dog").')
    ] = None,
    stop_words: StopWords = None,
    word_filter: Annotated[
        str | None, typer.Option(help='"published": the words that the code of the paper keeps, for comparison.')
    ] = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Decompose states into concepts and find their words and images."""
    from coxlmm import ConceptDictionary, SemiNMF, Whitened
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.serialization import holds_dictionary

    words = _word_filter(
        word_filter,
        stop_words=stop_words or (),
        languages=language or (),
        min_zipf=min_zipf,
        inflections=inflections,
    )
    ensure_replaceable(out, holds_dictionary)
    loaded = states_at(states)
    source = loaded.manifest.get("source")
    l1 = l1 if l1 is not None else 1.0 if whiten is None else 0.03
    estimator = SemiNMF(n_concepts, l1=l1, random_state=seed)
    dictionary = ConceptDictionary.fit(
        loaded, estimator if whiten is None else Whitened(estimator, power=whiten, random_state=seed)
    )
    say(
        f"{n_concepts} concepts of {len(loaded)} states leave {dictionary.relative_error:.1%} unexplained; the average "
        f"state activates {dictionary.mean_active:.1f} of them"
    )
    if dictionary.mean_active > _TOO_MANY_ACTIVE * n_concepts:
        say(
            f"warning: the average state activates {dictionary.mean_active:.1f} of {n_concepts} concepts, which is "
            f"hardly sparse: a larger --l1 (now {l1:g}) makes it fewer"
        )
    if stability:
        dictionary.measure_stability(loaded, stability)
        say(
            f"other seeds find a concept again at a cosine of {dictionary.stability.mean():.2f} on average, "
            f"{dictionary.stability.min():.2f} at the least"
        )
    lmm = load_for(dictionary.manifest, model, dtype, device_map, "dictionary")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        dictionary.ground(
            lmm,
            n_images=n_images,
            n_words=n_words,
            images=images_of(images, source),
            word_filter=words,
            contrast=contrast,
            diverse=diverse,
        )
        if heat_maps != "none":
            _localise(dictionary, lmm, images_of(images, source), heat_maps)
    for each in caught:
        say(f"warning: {each.message}")
    dictionary.save_pretrained(out)
    for concept in sorted(dictionary.concepts, key=lambda c: -c.share_of_activation):
        said = ", ".join(word.text for word in concept.words[:6])
        say(f"{concept.share_of_activation:5.1%}  concept {concept.index:<3d} {said}")
    say(f"dictionary: {out}")


def _localise(dictionary: "ConceptDictionary", lmm: "LMM", images: Any, method: Any) -> None:
    from coxlmm.architecture import UnsupportedModelError

    try:
        dictionary.localise(lmm, images=images, method=method)
    except UnsupportedModelError as error:
        if method != "auto":
            raise
        say(f"there are no heat maps: {error}")


def _word_filter(name: str | None, **options: Any) -> "WordFilter | PublishedFilter":
    from coxlmm.grounding import WordFilter, as_filter

    plain = WordFilter(**options)
    if name is not None and plain != WordFilter():
        raise ValueError(f"the word filter {name!r} has its own rules: leave out --language, --stop-words and the like")
    return plain if name is None else as_filter(name)
