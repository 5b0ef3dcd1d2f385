"""Options that several commands have, and how the model they name is loaded."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coxlmm.cli.application import say

if TYPE_CHECKING:
    from coxlmm.models import LMM
    from coxlmm.states import States

Dictionary = Annotated[
    str, typer.Argument(metavar="DICTIONARY", help="Directory that fit wrote, or a repository of the hub, user/name.")
]
StatesDirectory = Annotated[Path, typer.Argument(metavar="STATES", help="Directory that extract wrote.")]
ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown.")]
Word = Annotated[str, typer.Option(help="The word of interest.")]
NConcepts = Annotated[int, typer.Option(help="Number of concepts, K.", min=1)]
L1_HELP = (
    "Weight of the sparsity penalty (the paper's lambda), in the unit of the states: a concept is used where it "
    "explains more than half as much of a state's length."
)
L1 = Annotated[float, typer.Option(help=L1_HELP, min=0)]
Seed = Annotated[int, typer.Option(help="Seed of the fit.")]
StopWords = Annotated[
    str | None,
    typer.Option(help='Leave out the stop words of a language: "english", or "de", "fr", "zh", ... (extra [words]).'),
]
Images = Annotated[
    str,
    typer.Argument(
        metavar="IMAGES",
        help="A directory of images, searched through; COCO captions (.json); JSON lines (.jsonl) with file_name and "
        'caption; or tar archives, as many as match ("shards/*.tar").',
    ),
]
ImagesOfTable = Annotated[
    Path | None, typer.Option("--images", help="Where the images are that a .json or .jsonl names. Default: beside it.")
]
Prompt = Annotated[str | None, typer.Option(help='Text to continue; "<image>" is the image\'s place.')]
Segmentation = Annotated[
    str | None, typer.Option(help="What a word is in Chinese, Japanese, Thai: icu, or characters.")
]
MaxNewTokens = Annotated[int, typer.Option(help="Longest caption, in tokens.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Images captioned at a time.", min=1)]
HeatMaps = Annotated[
    Literal["auto", "states", "gradient", "occlusion", "none"],
    typer.Option(help='How to find where in images concepts are; "auto" is what was found most faithful.'),
]
Dtype = Annotated[str | None, typer.Option(help="Precision: float32, bfloat16, ... Default: as extracted, or stored.")]
DeviceMap = Annotated[str | None, typer.Option(help='Where the model goes, for transformers: "auto", "cuda", ...')]
Model = Annotated[
    str | None,
    typer.Option(
        help="Directory or repository. Default: the one extracted from; a dictionary only knows repositories."
    ),
]


def directory_of(dictionary: str, instead: str) -> Path:
    """Where a dictionary that was read is kept, for what is written back to it.

    That of the hub is kept in no directory of ours. One of its name would be made, and from then on the name would mean
    that directory; so it is refused, with what to do ``instead``.
    """
    if not os.path.isdir(dictionary):
        raise ValueError(f"{dictionary!r} is a repository of the hub, which is not written to: {instead}")
    return Path(dictionary)


def images_of(path: str | None, source: Mapping[str, Any] | None) -> Any:
    """The images at a path, or those that states say they were extracted from; None where nothing does."""
    from coxlmm.samples import open_source

    if path is not None:
        return open_source(path)
    return None if source is None else open_source(source["path"], images=source.get("images"))


def require_image(path: Path) -> None:
    """Raises FileNotFoundError if there is no such file, before a model is loaded to look at it."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no image {path}")


def states_at(path: str | os.PathLike[str]) -> "States":
    """The states at a path; those of several words together."""
    from coxlmm.states import States, StatesGroup
    from coxlmm.states_files import holds_group

    if not holds_group(path):
        return States.load(path)
    group = StatesGroup.load(path)
    if len({states.manifest.get("layer") for states in group.values()}) > 1:
        return States.load(path)  # which says that it is several, and where each is
    return group.together()


def load_for(
    manifest: Mapping[str, Any], model: str | None, dtype: str | None, device_map: str | None, what: str
) -> "LMM":
    """The model that states are of, with the prompt and in the precision that they were extracted with.

    ``what`` they are now, "states" or "dictionary", is for errors.
    """
    name = model or manifest.get("model_id")
    if name is None:
        raise ValueError(f"the {what} do not say which model they are of: name it with --model")
    if model is None and manifest.get("model_is_local"):
        # To look for its bare name elsewhere might load somebody else's model.
        raise ValueError(f"the dictionary is of a model in a local directory, {name!r}: say where it is with --model")
    # Another model has other revisions.
    revision = manifest.get("revision") if model is None else None
    try:
        return load(name, manifest.get("prompt"), dtype or manifest.get("dtype") or "auto", device_map, revision)
    except OSError as error:
        if model is not None:
            raise
        raise OSError(f"the model of the states cannot be loaded, say where it is with --model: {error}") from error


def load(name: str, prompt: str | None, dtype: str, device_map: str | None, revision: str | None = None) -> "LMM":
    """A model by its name or directory."""
    say(f"loading {name}")
    from transformers.utils import logging

    from coxlmm.models import LMM

    logging.disable_progress_bar()
    if device_map is None and "LOCAL_RANK" in os.environ:  # of torchrun: a device a process
        import torch

        device_map = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else None
    given = {key: value for key, value in (("device_map", device_map), ("revision", revision)) if value is not None}
    return LMM.from_pretrained(name, prompt=prompt, dtype=dtype, **given)
