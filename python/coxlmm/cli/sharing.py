"""``coxlmm push``, ``compare`` and ``plot``: what is done with a dictionary that is finished."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coxlmm.cli.application import say, show
from coxlmm.cli.options import AsJson, Dictionary

if TYPE_CHECKING:
    from coxlmm.dictionary import ConceptDictionary


def push(
    dictionary: Dictionary,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="user/name, made if there is none.")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Who may read a repository that is made.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, made if there is none.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    pull_request: Annotated[bool, typer.Option("--pull-request", help="Propose it instead.")] = False,
) -> None:
    """Put a dictionary, with thumbnails and captions, on the Hugging Face hub; log in with "hf auth login" before."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    commit = loaded.push_to_hub(
        repository, private=private, revision=revision, commit_message=message, create_pr=pull_request
    )
    show(commit.pr_url or commit.commit_url)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A dictionary: directory, or repository of the hub.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, of any seed, number of concepts, layer or model.")],
    activations: Annotated[
        bool | None,
        typer.Option(
            "--activations/--vectors",
            help="Match by activations over the samples of both, or by concept vectors. Default: by vectors where both "
            "are of one model and layer.",
        ),
    ] = None,
    n_words: Annotated[int, typer.Option(help="Words shown of each concept.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """Pair the concepts of two dictionaries, most similar first."""
    from coxlmm import ConceptDictionary

    first, second = (ConceptDictionary.from_pretrained(path) for path in (a, b))
    matching = first.match(second, codes=activations)
    if as_json:
        words = {
            name: [_words(own, k, n_words) for k in range(own.n_concepts)]
            for name, own in zip("ab", (first, second), strict=True)
        }
        show(json.dumps(matching.to_dict() | {"words": words}, ensure_ascii=False, indent=1))
        return
    over = "" if matching.n_samples is None else f" of activations over {matching.n_samples} shared samples"
    show(f"mean {matching.measure}{over}: {matching.mean:.3f}, of {len(matching.pairs)} pairs")
    for p in (-matching.similarities).argsort(kind="stable"):
        i, j = matching.pairs[p].tolist()
        show(f"{matching.similarities[p]:6.3f}  A {i:<4d} {', '.join(_words(first, i, n_words))}")
        show(f"        B {j:<4d} {', '.join(_words(second, j, n_words))}")
    for name, own, alone in zip("AB", (first, second), matching.unmatched, strict=True):
        for k in alone:
            show(f"     -  {name} {k:<4d} {', '.join(_words(own, k, n_words))}")


def _words(dictionary: "ConceptDictionary", k: int, n: int) -> list[str]:
    return [word.text for word in dictionary.words[k][:n]] if dictionary.words else []


def plot(
    dictionary: Dictionary,
    out: Annotated[Path, typer.Option(help="Figure: .svg, .pdf or .png.")] = Path("concepts.svg"),
    concept: Annotated[
        list[int] | None, typer.Option(metavar="K", help="Only this concept; repeat for more.", min=0)
    ] = None,
    n_images: Annotated[int, typer.Option(help="Images of each concept.", min=0)] = 5,
    n_words: Annotated[int, typer.Option(help="Words of each concept.", min=1)] = 5,
    heat: Annotated[bool, typer.Option("--heat", help="Show where in the images, if the dictionary knows.")] = False,
) -> None:
    """Draw a figure of concepts, with their images and words, for a paper."""
    from coxlmm import ConceptDictionary

    loaded = ConceptDictionary.from_pretrained(dictionary)
    loaded.plot(concepts=concept or None, n_images=n_images, n_words=n_words, heat=heat, path=out)
    say(f"figure: {out}")
