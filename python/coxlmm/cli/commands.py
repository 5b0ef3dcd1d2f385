"""What can be asked for, and with which options."""

import json
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli import extraction, published, vocabulary
from coxlmm.cli.application import Group, say
from coxlmm.cli.options import L1, BatchSize, DeviceMap, Dtype, Model, NConcepts, Seed, Word, images_of, load_for

HELP = """What a frozen multimodal model represents where it writes a word.

\b
  coxlmm demo                     all of the following, on a small model
  coxlmm extract MODEL images/ --word dog --out states/
  coxlmm fit states/ --n-concepts 20 --out dictionary/
  coxlmm report dictionary/ --out report.html
  coxlmm explain dictionary/ photo.jpg
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


app.command()(vocabulary.vocabulary)
app.command()(extraction.extract)
app.command()(extraction.verify)
app.command()(published.import_published)

_TOO_MANY_ACTIVE = 0.9  # of all concepts, in the average state


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory for everything it makes.")] = Path("build/demo"),
    word: Word = "dog",
    n_scenes: Annotated[int, typer.Option(help="Scenes that show the word.", min=1)] = 640,
    n_concepts: NConcepts = 20,
    l1: L1 = 20.0,
    batch_size: BatchSize = 64,
    seed: Seed = 0,
) -> None:
    """Do all of it on the demo model and its world; ends with a report."""
    from coxlmm.demo import pipeline

    pipeline.run(
        out, word=word, n_scenes=n_scenes, n_concepts=n_concepts, l1=l1, batch_size=batch_size, seed=seed
    )  # fmt: skip


@app.command()
def fit(
    states: Annotated[Path, typer.Argument(metavar="STATES", help="Directory that extract wrote.")],
    out: Annotated[Path, typer.Option(help="Directory for the dictionary.")],
    n_concepts: NConcepts = 20,
    l1: L1 = 1.0,
    seed: Seed = 0,
    model: Model = None,
    images: Annotated[
        str | None, typer.Option(help="Where the images are, if they are not where they were extracted from.")
    ] = None,
    n_images: Annotated[int, typer.Option(help="Images for each concept.", min=1)] = 8,
    n_words: Annotated[int, typer.Option(help="Words for each concept.", min=1)] = 10,
    stop_words: Annotated[bool, typer.Option("--stop-words", help="Leave out English stop words.")] = False,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Decompose states into concepts and find their words and images."""
    from coxlmm import ConceptDictionary, SemiNMF, States
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.grounding import WordFilter
    from coxlmm.serialization import holds_dictionary

    ensure_replaceable(out, holds_dictionary)
    loaded = States.load(states)
    # The folders of this machine are nobody's business: what is made for sharing must not hold them.
    source = loaded.manifest.pop("source", None)
    dictionary = ConceptDictionary.fit(loaded, SemiNMF(n_concepts, l1=l1, random_state=seed))
    say(
        f"{n_concepts} concepts of {len(loaded)} states leave {dictionary.relative_error:.1%} unexplained; the average "
        f"state activates {dictionary.mean_active:.1f} of them"
    )
    if dictionary.mean_active > _TOO_MANY_ACTIVE * n_concepts:
        say(
            f"warning: the average state activates {dictionary.mean_active:.1f} of {n_concepts} concepts, which is "
            f"hardly sparse: a larger --l1 (now {l1:g}) makes it fewer"
        )
    lmm = load_for(dictionary.manifest, model, dtype, device_map, "dictionary")
    words = WordFilter(stop_words="english" if stop_words else ())
    dictionary.ground(lmm, n_images=n_images, n_words=n_words, images=images_of(images, source), word_filter=words)
    dictionary.save_pretrained(out)
    for concept in sorted(dictionary.concepts, key=lambda c: -c.share_of_activation):
        said = ", ".join(word.text for word in concept.words[:6])
        say(f"{concept.share_of_activation:5.1%}  concept {concept.index:<3d} {said}")
    say(f"dictionary: {out}")


@app.command()
def report(
    dictionary: Annotated[Path, typer.Argument(metavar="DICTIONARY", help="Directory that fit wrote.")],
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


@app.command()
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
