"""``coxlmm demo``: the main job on the demo model."""

from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.options import L1, BatchSize, NConcepts, Seed, Word


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
