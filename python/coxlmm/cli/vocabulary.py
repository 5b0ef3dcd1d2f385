"""The command that helps to choose a word."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import show
from coxlmm.cli.options import (
    BatchSize,
    DeviceMap,
    Dtype,
    Images,
    ImagesOfTable,
    MaxNewTokens,
    Prompt,
    Segmentation,
    StopWords,
    load,
)


def vocabulary(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory or repository of the model.")],
    images: Images,
    references: Annotated[
        Path | None, typer.Option(help="Reference captions of a directory, as extract takes them.")
    ] = None,
    table_images: ImagesOfTable = None,
    n_images: Annotated[int | None, typer.Option(help="Caption the first so many images. Default: all.", min=1)] = None,
    inflections: Annotated[
        str | None, typer.Option(help='Language, "en": words are counted by their dictionary forms ("dogs" as "dog").')
    ] = None,
    segmentation: Segmentation = None,
    stop_words: StopWords = None,
    max_new_tokens: MaxNewTokens = 32,
    batch_size: BatchSize = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print all words, as JSON.")] = False,
    prompt: Prompt = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Caption images and count the words: which one to look at."""
    from coxlmm.samples import open_source

    source = open_source(images, images=table_images, references=references)
    found = load(model, prompt, dtype or "auto", device_map).vocabulary(
        source if n_images is None else islice(source, n_images),
        inflections=inflections,
        segmentation=segmentation,
        stop_words=stop_words or (),
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        progress=True,
    )
    show(json.dumps(found.to_dict(), ensure_ascii=False, indent=1) if as_json else str(found))
