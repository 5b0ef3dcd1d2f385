"""The command that reads files of the paper's published code."""

from pathlib import Path
from typing import Annotated

import typer

from coxlmm.cli.application import say


def import_published(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What torch.save wrote; read without running its code.")],
    out: Annotated[Path, typer.Option(help="Directory for the states, or for the dictionary.")],
    word: Annotated[str | None, typer.Option(help="The word of interest, which the file does not tell.")] = None,
    model: Annotated[str | None, typer.Option(help="Directory or repository of the model that it is of.")] = None,
    prompt: Annotated[str | None, typer.Option(help="The text before the captions.")] = None,
    module: Annotated[str | None, typer.Option(help="Which module, if the file has states of several.")] = None,
    layer: Annotated[
        int | None, typer.Option(help="Decoder layer, from 0. Default: as the module's name says.")
    ] = None,
    states: Annotated[
        Path | None, typer.Option(help="For a dictionary: directory of the imported states that it was made from.")
    ] = None,
) -> None:
    """Turn hidden states or concepts of the paper's published code (.pth) into states/ or dictionary/."""
    from coxlmm import States
    from coxlmm.atomic import ensure_replaceable
    from coxlmm.published import kind_of, read_dictionary, read_states
    from coxlmm.serialization import holds_dictionary
    from coxlmm.states import holds_states

    of_states = {"word": word, "model_id": model, "prompt": prompt, "module": module, "layer": layer}
    if kind_of(file) == "states":
        if states is not None:
            raise ValueError(f"{file} is of states: --states is for the dictionary that was made from them")
        ensure_replaceable(out, holds_states)
        read = read_states(file, **of_states)
        read.save(out)
        say(f"{len(read)} of {read.manifest['counts']['seen']} states, {read.X.shape[1]} features each: {out}")
        return
    given = [f"--{name.removesuffix('_id')}" for name, value in of_states.items() if value is not None]
    if given:
        raise ValueError(f"{file} is a dictionary, and takes {', '.join(given)} from its states: give them there")
    ensure_replaceable(out, holds_dictionary)
    dictionary = read_dictionary(file, None if states is None else States.load(states))
    dictionary.save_pretrained(out)
    say(f"{dictionary.n_concepts} concepts of {dictionary.n_samples} states: {out}")
