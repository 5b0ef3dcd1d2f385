"""The main job on the demo model: scenes -> states at a word -> concepts -> report, with progress on the terminal."""

import os
from itertools import count, islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from coxlmm.demo import model, world

SPLIT = "test"
_SHOWN = 10  # concepts in the table that the run ends with


def run(
    out: str | os.PathLike = "build/demo",
    *,
    word: str = "dog",
    n_scenes: int = 640,
    n_concepts: int = 20,
    l1: float = 20.0,
    n_explained: int = 4,
    batch_size: int = 64,
    seed: int = 0,
    console: Console | None = None,
) -> Path:
    """Explain what the demo model represents where it says ``word``.

    Writes the assembled demo model (kept for the next run), ``states`` (:class:`coxlmm.States`), ``dictionary``
    (:class:`coxlmm.ConceptDictionary`) and ``report.html`` into ``out``; returns the report's path.

    Parameters
    ----------
    out : path
        Directory, made if missing.
    word : str
        One of the world's nouns.
    n_scenes : int
        Unseen scenes that show the word; the states come from those whose caption names it.
    n_concepts : int
        K.
    l1 : float
        Sparsity of the activations, the paper's lambda, in the units of the states. The norm of these is about 600:
        20 leaves about half of the concepts active in a scene, where 1 leaves nearly all.
    n_explained : int
        Further scenes, not used in the fit, that the report explains one by one.
    batch_size : int
        Scenes captioned at a time.
    seed : int
        Of the fit.
    console : rich.console.Console, optional
        Where to print; by default the terminal.
    """
    from transformers.utils import logging

    from coxlmm import ConceptDictionary, SemiNMF
    from coxlmm.words import WordMatcher

    logging.disable_progress_bar()  # transformers' bars for each file it reads would drown this function's own
    out, console = Path(out), console or Console()
    shows_word = world.scenes(SPLIT, count(), word)
    scenes = list(islice(shows_word, n_scenes))
    held_out = list(islice(shows_word, 4 * n_explained))

    with console.status("loading the demo model (the first time, assembling it)"):
        lmm = model.load_lmm(out / model.NAME)
    console.print(f"[bold]model[/]       {lmm.model_id}")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("[bold]extract[/]    ", total=n_scenes)
        states = lmm.extract(
            (s.image for s in scenes),
            word=word,
            references=[s.reference for s in scenes],
            sample_ids=[s.id for s in scenes],
            batch_size=batch_size,
            out=out / "states",
            progress=lambda done, total: progress.update(task, completed=done),
        )
    console.print(
        f"[bold]states[/]      {len(states)} of {n_scenes} captions say {word!r}; {states.X.shape[1]} features each"
    )

    with console.status(f"fitting {n_concepts} concepts"):
        dictionary = ConceptDictionary.fit(states, SemiNMF(n_concepts, l1=l1, random_state=seed))
    estimator = dictionary.estimator
    console.print(
        f"[bold]fit[/]         objective {estimator.objective_:.4g} after {estimator.n_iter_} passes over the states"
    )

    with console.status("grounding the concepts in words and images"):
        dictionary.measure_stability(states)
        images = {s.id: s.image for s in scenes}
        # Maps by states take a tenth of the time of those by gradients, which are more faithful.
        dictionary.ground(lmm, n_words=8, n_images=8, images=images).localise(lmm, images=images, method="states")
    dictionary.save_pretrained(out / "dictionary")

    with console.status(f"explaining {n_explained} scenes that the fit has not seen"):
        matcher = WordMatcher(word)
        captions = lmm.caption([s.image for s in held_out], batch_size=batch_size)
        named = [s for s, caption in zip(held_out, captions, strict=True) if matcher.find(caption)]
        explanations = [dictionary.explain(lmm, s.image) for s in named[:n_explained]]
    report = dictionary.report(out / "report.html", explanations=explanations)
    console.print(_table(dictionary, word))
    console.print(f"[bold]report[/]      {report}", soft_wrap=True)
    return Path(report)


def _table(dictionary, word: str) -> Table:
    shown = (
        f"the {_SHOWN} largest of {dictionary.n_concepts} concepts" if dictionary.n_concepts > _SHOWN else "concepts"
    )
    table = Table(title=f"{shown} where it says {word!r}", title_justify="left")
    table.add_column("concept", justify="right")
    table.add_column("share", justify="right")
    table.add_column("words")
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    for concept in ranked[:_SHOWN]:
        words = ", ".join(text for text, _ in concept.words[:6])
        table.add_row(str(concept.index), f"{concept.share_of_activation:.0%}", words)
    return table
