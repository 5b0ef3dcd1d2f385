"""The compatibility table: ``python -m compatibility.table`` in tests/python writes docs/compatibility.md."""

from pathlib import Path

import torch
import transformers
from compatibility.checks import IMAGES, Subject
from compatibility.families_first import FAMILIES as FIRST
from compatibility.families_second import FAMILIES as SECOND
from compatibility.recipes import CHECKS, Family, Unavailable

FAMILIES: list[Family | Unavailable] = [*FIRST, *SECOND]
FILE = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"
COLUMNS = ("family", "model, processor", "layers", "final norm", "visual tokens", *CHECKS, "remarks")
RELEASE = ".".join(transformers.__version__.split(".")[:2])
HEAD = f"""# Compatibility

Every row is built from the classes of transformers {RELEASE} with random weights at a tiny size, with a tokenizer built on
the spot, and put through the checks below by `python -m pytest tests/python/compatibility`, which also compares this
file with what it finds. `cd tests/python && python -m compatibility.table` writes it. Architectures that are not here
may well work: what a model must have is found through its own accessors, and the error says what was not found.

| column | meaning |
|---|---|
| family | the `model_type` of its configuration |
| layers | where the decoder layers are in the model |
| final norm | what stands between the last layer and the output embedding |
| visual tokens | where the language model meets the image: at positions *in the text*, or elsewhere |
| caption | `lmm.caption` describes two images in a batch, differently, in words |
| extract | `lmm.extract` at a middle and at the last layer, each named by its module |
| batch | images of different shapes give the captions and states (to 1e-4) that they give one at a time |
| forward | the states equal those of a plain forward pass without cache: `extract(verify=...)` |
| ground | `unembedding @ normalize(state)` ranks the generated token first, and a dictionary decodes to words |

✓: checked. ✗: refused, and the remark is the error's message.

"""


def row(subject: Subject) -> str:
    """The line of a family whose checks pass or are refused as foretold."""
    parts = subject.lmm.architecture
    outcomes = {check: subject.outcome(check) for check in CHECKS}
    remarks = [subject.family.note, *(f"{check}: {text}" for check, text in outcomes.items() if text)]
    norm = next((name for name, module in subject.model.named_modules() if module is parts.final_norm), "none")
    return _line(
        f"`{subject.family.name}`",
        f"{type(subject.model).__name__}, {type(subject.processor).__name__}",
        f"`{parts.layers_name}`",
        norm if norm == "none" else f"`{norm}`",
        _visual_tokens(subject),
        *("✓" if text is None else "✗" for text in outcomes.values()),
        "; ".join(filter(None, remarks)),
    )


def row_of_unavailable(family: Unavailable) -> str:
    """The line of a family that cannot be built here.

    Raises
    ------
    AssertionError
        If it can be, or fails for another reason than the one given.
    """
    try:
        family.build()
    except Exception as error:
        assert family.reason in str(error), f"{family.name} fails with {error!r}, not for {family.reason!r}"
        return _line(f"`{family.name}`", *[""] * (len(COLUMNS) - 2), f"not tested: {family.reason}")
    raise AssertionError(f"{family.name} is said to be unavailable ({family.reason}), and can be built")


def written() -> list[str]:
    """The lines of the committed table."""
    return FILE.read_text("utf-8").splitlines()


def _visual_tokens(subject: Subject) -> str:
    inputs = subject.lmm.inputs(IMAGES[:1])
    token = getattr(subject.processor, "image_token_id", None)
    config = subject.model.config
    token = next(
        (getattr(config, name) for name in ("image_token_id", "image_token_index") if hasattr(config, name)), token
    )
    count = int((inputs["input_ids"] == token).sum()) if "input_ids" in inputs else 0
    return "in the text" if count > 1 else "elsewhere"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    torch.set_num_threads(1)
    lines = [_line(*COLUMNS), "|" + "---|" * len(COLUMNS)]
    for family in FAMILIES:
        print(family.name, flush=True)
        lines.append(row_of_unavailable(family) if isinstance(family, Unavailable) else row(Subject(family)))
    FILE.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
