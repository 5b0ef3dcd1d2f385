"""The commands that put images through a model."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from coxlmm.cli.application import say
from coxlmm.cli.options import (
    DeviceMap,
    Dtype,
    Images,
    ImagesOfTable,
    MaxNewTokens,
    Model,
    Prompt,
    Segmentation,
    StatesDirectory,
    images_of,
    load,
    load_for,
)


def extract(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory or repository of the model.")],
    images: Images,
    out: Annotated[Path, typer.Option(help="Directory for the states.")],
    word: Annotated[
        list[str] | None, typer.Option(help="The word of interest; repeat for several. None: every image counts.")
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            help='Reference captions of a directory: COCO captions, or lines {"file_name": "a.jpg", "caption": "..."}.'
        ),
    ] = None,
    table_images: ImagesOfTable = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help='Decoder layer: from 0, from the end (-1, the default), by name, or "all"; repeat for more.'),
    ] = None,
    stream: Annotated[str, typer.Option(help="residual; or the layer's own: attention, mlp.")] = "residual",
    position: Annotated[
        str, typer.Option(help="predicting (the word), word, prompt (its last position), visual-mean, visual.")
    ] = "predicting",
    token: Annotated[
        str, typer.Option(help="Which token stands for a word of several: first, last, or mean of all.")
    ] = "first",
    case_sensitive: Annotated[bool, typer.Option("--case-sensitive", help='"dog" is not "Dog".')] = False,
    inflections: Annotated[
        str | None, typer.Option(help='Language, "en": other forms of the word ("dogs") count as the word.')
    ] = None,
    segmentation: Segmentation = None,
    teacher_forced: Annotated[
        bool, typer.Option("--teacher-forced", help="Let the model read the references instead of writing captions.")
    ] = False,
    max_new_tokens: MaxNewTokens = 32,
    temperature: Annotated[float, typer.Option(help="Above 0: captions are drawn, not greedy.", min=0)] = 0.0,
    top_p: Annotated[float, typer.Option(help="Of the draw: the most probable tokens with this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    batch_size: Annotated[
        str, typer.Option(help='Images captioned at a time; "auto": as many as memory holds.')
    ] = "16",
    workers: Annotated[int, typer.Option(help="Threads that open images.", min=0)] = 4,
    on_error: Annotated[str, typer.Option(help="What becomes of an unreadable image: record, or raise.")] = "record",
    verify: Annotated[int, typer.Option(help="Compute so many states again, each by itself, and compare.", min=0)] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with what an interrupted run has done.")] = True,
    prompt: Prompt = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Caption images and keep the states that predict a word.

    What is done is kept as it comes: killed at any moment and started again in the same way, it goes on from there.
    Started by torchrun, the processes share the images.
    """
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.samples import open_source
    from coxlmm.states import States
    from coxlmm.states_files import holds_states, unfinished

    ensure_replaceable(out, holds_states)
    source = open_source(images, images=table_images, references=references)
    layers = [_number(one) for one in layer or ["-1"]]
    lmm = load(model, prompt, dtype or "auto", device_map)
    if resume and unfinished(out).exists():
        say(f"going on with what an interrupted run has left in {unfinished(out)}")
    states = lmm.extract(
        source,
        word[0] if word and len(word) == 1 else word or None,
        layer=layers[0] if len(layers) == 1 else layers,
        stream=stream,
        position=position,
        token=token,
        case_sensitive=case_sensitive,
        inflections=inflections,
        segmentation=segmentation,
        teacher_forced=teacher_forced,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        batch_size="auto" if batch_size == "auto" else _whole(batch_size),
        workers=workers,
        on_error=on_error,
        verify=verify,
        out=out,
        resume=resume,
        source={"path": os.path.abspath(images), "images": table_images and os.path.abspath(table_images)},
        progress=True,
    )
    if int(os.environ.get("RANK", "0")) > 0:  # one process of several speaks for all
        return
    members = {"": states} if isinstance(states, States) else states
    for key, one in members.items():
        counts = one.manifest["counts"]
        named = f"{key}: " if key != "" else ""
        say(f"{named}{counts['matched']} of {counts['seen']} images count, {one.X.shape[1]} features each: {out}")
    lost = next(iter(members.values())).manifest["unreadable"]
    if lost:
        say(f"not readable: {len(lost)} of them, the first is {lost[0]['id']}: {lost[0]['reason']}")


def verify(
    states: StatesDirectory,
    n: Annotated[int, typer.Option(help="Samples, drawn at random.", min=1)] = 8,
    images: Annotated[
        str | None, typer.Option(help="Where the images are, if they are not where they were extracted from.")
    ] = None,
    model: Model = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
) -> None:
    """Compute a few states again from scratch, and compare.

    Each in a plain forward pass of its own: no batch, no cache, no hook.
    """
    from coxlmm.states import States
    from coxlmm.verification import verify_samples

    loaded = States.load(states)
    source = images_of(images, loaded.manifest.get("source"))
    if source is None:
        raise ValueError("the states do not say where their images are: name the place with --images")
    lmm = load_for(loaded.manifest, model, dtype, device_map, "states")
    outcome = verify_samples(lmm, loaded, source, n)
    say(
        f"{outcome['n']} of {len(set(loaded.sample_ids))} samples computed again: equal up to "
        f"{outcome['max_relative_error']:.1e} of their norm (tolerance {outcome['tolerance']:.0e})"
    )


def _number(layer: str) -> int | str:
    try:
        return int(layer)
    except ValueError:
        return layer


def _whole(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'--batch-size must be a whole number or "auto", got {text!r}') from None
