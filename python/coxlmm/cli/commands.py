"""What can be asked for, and with which options."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coxlmm.cli.application import Group, say

if TYPE_CHECKING:
    from coxlmm.dictionary import ConceptDictionary
    from coxlmm.models import LMM

HELP = """What a frozen multimodal model represents where it writes a word.

\b
  coxlmm demo                     all of the following, on a small model
  coxlmm extract MODEL images/ --word dog --out states/
  coxlmm fit states/ --n-concepts 20 --out dictionary/
  coxlmm report dictionary/ --out report.html
  coxlmm explain dictionary/ photo.jpg

MODEL is an image-text model for transformers: a directory or a repository.
"""
app = typer.Typer(
    cls=Group, help=HELP, rich_markup_mode=None, add_completion=False, no_args_is_help=True,
    pretty_exceptions_enable=False,
)  # fmt: skip

Word = Annotated[str, typer.Option(help="The word of interest.")]
NConcepts = Annotated[int, typer.Option(help="Number of concepts, K.", min=1)]
L1 = Annotated[
    float,
    typer.Option(
        help="Weight of the sparsity penalty (the paper's lambda), in the unit of the states: a concept is used where "
        "it explains more than half as much of a state's length.",
        min=0,
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the fit.")]
BatchSize = Annotated[int, typer.Option(help="Images captioned at a time.", min=1)]
Dtype = Annotated[str | None, typer.Option(help="Precision: float32, bfloat16, ... Default: as extracted, or stored.")]
DeviceMap = Annotated[str | None, typer.Option(help='Where the model goes, for transformers: "auto", "cuda", ...')]
Model = Annotated[
    str | None,
    typer.Option(
        help="Directory or repository. Default: the one extracted from; a dictionary only knows repositories."
    ),
]


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


_TOO_MANY_ACTIVE = 0.9  # of all concepts, in the average state
_IMAGES = "images"  # in the manifest of states: the directory that they were extracted from


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
def extract(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory or repository of the model.")],
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Directory of images, searched through.")],
    word: Word,
    out: Annotated[Path, typer.Option(help="Directory for the states.")],
    references: Annotated[
        Path | None,
        typer.Option(help='Reference captions, JSON lines: {"file_name": "a.jpg", "caption": "..."}.'),
    ] = None,
    layer: Annotated[int, typer.Option(help="Decoder layer, from 0; negative counts from the end.")] = -1,
    batch_size: BatchSize = 16,
    max_new_tokens: Annotated[int, typer.Option(help="Longest caption, in tokens.", min=1)] = 32,
    token: Annotated[
        str, typer.Option(help="Which token stands for a word of several: first, last, or mean of all.")
    ] = "first",
    case_sensitive: Annotated[bool, typer.Option("--case-sensitive", help='"dog" is not "Dog".')] = False,
    plural: Annotated[bool, typer.Option("--plural", help="The word's regular plural counts as the word.")] = False,
    verify: Annotated[int, typer.Option(help="Compute so many states again, each by itself, and compare.", min=0)] = 0,
    prompt: Annotated[str | None, typer.Option(help='Text to continue; "<image>" is the image\'s place.')] = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Caption images and keep the states that predict a word."""
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.cli.image_folder import find_images, read_references
    from coxlmm.states import holds_states

    ensure_replaceable(out, holds_states)
    files = find_images(images)
    names = [file.relative_to(images).as_posix() for file in files]
    texts = None if references is None else read_references(references, names)
    lmm = _load(model, prompt, dtype or "auto", device_map)
    states = lmm.extract(
        files,
        word,
        references=texts,
        sample_ids=names,
        layer=layer,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        token=token,
        case_sensitive=case_sensitive,
        plural=plural,
        verify=verify,
        out=out,
        progress=True,
    )
    # Where fit finds them again, from whatever directory it is started in.
    states.manifest[_IMAGES] = os.path.abspath(images)
    states.save(out)
    say(f"{len(states)} of {len(files)} images count, {states.X.shape[1]} features each: {out}")


@app.command()
def fit(
    states: Annotated[Path, typer.Argument(metavar="STATES", help="Directory that extract wrote.")],
    out: Annotated[Path, typer.Option(help="Directory for the dictionary.")],
    n_concepts: NConcepts = 20,
    l1: L1 = 1.0,
    seed: Seed = 0,
    model: Model = None,
    images: Annotated[
        Path | None, typer.Option(help="Directory of the images, if it is not the one extracted from.")
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
    folder = loaded.manifest.pop(_IMAGES, None)
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
    lmm = _load_for(dictionary, model, dtype, device_map)
    words = WordFilter(stop_words="english" if stop_words else ())
    dictionary.ground(lmm, n_images=n_images, n_words=n_words, images=images or folder, word_filter=words)
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
        lmm = _load_for(loaded, model, dtype, device_map)
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
    explanation = loaded.explain(_load_for(loaded, model, dtype, device_map), image, n_concepts=n_concepts)
    if as_json:
        typer.echo(json.dumps(explanation.to_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo(str(explanation))


def _load_for(dictionary: "ConceptDictionary", model: str | None, dtype: str | None, device_map: str | None) -> "LMM":
    """The model that a dictionary is of, with the prompt and in the precision that its states were extracted with."""
    manifest: dict[str, Any] = dictionary.manifest
    name = model or manifest.get("model_id")
    if name is None:
        raise ValueError("the states do not say which model they are of: name it with --model")
    if model is None and manifest.get("model_is_local"):
        # To look for its bare name elsewhere might load somebody else's model.
        raise ValueError(f"the dictionary is of a model in a local directory, {name!r}: say where it is with --model")
    # Another model has other revisions.
    revision = manifest.get("revision") if model is None else None
    try:
        return _load(name, manifest.get("prompt"), dtype or manifest.get("dtype") or "auto", device_map, revision)
    except OSError as error:
        if model is not None:
            raise
        raise OSError(f"the model of the states cannot be loaded, say where it is with --model: {error}") from error


def _load(name: str, prompt: str | None, dtype: str, device_map: str | None, revision: str | None = None) -> "LMM":
    say(f"loading {name}")
    from transformers.utils import logging

    from coxlmm.models import LMM

    logging.disable_progress_bar()
    given = {key: value for key, value in (("device_map", device_map), ("revision", revision)) if value is not None}
    return LMM.from_pretrained(name, prompt=prompt, dtype=dtype, **given)
