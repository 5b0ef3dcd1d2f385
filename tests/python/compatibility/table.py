"""The compatibility table: ``python -m compatibility.table`` in tests/python writes docs/compatibility.md."""

import re
import sys
from pathlib import Path

import pytest
import torch
import transformers
from compatibility.checks import Subject
from compatibility.families_first import FAMILIES as FIRST
from compatibility.families_second import FAMILIES as SECOND
from compatibility.recipes import CHECKS, Family, Unavailable

FAMILIES: list[Family | Unavailable] = [*FIRST, *SECOND]
FILE = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"
COLUMNS = ("family", "model, processor", "layers", "final norm", "visual tokens", *CHECKS, "remarks")
RELEASE = ".".join(transformers.__version__.split(".")[:2])
HEAD = f"""# Compatibility

Every row is built from the classes of transformers {RELEASE} with random weights at a tiny size, with a tokenizer built
on the spot and an image processor that needs no torchvision, and put through the checks below by
`python -m pytest tests/python/compatibility`, which also compares this file with what it finds.
`cd tests/python && python -m compatibility.table` writes it. Architectures that are not here may well work: what a
model must have is found through its own accessors, and the error says what was not found.

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
| places | attention and MLP outputs, the prompt's last state, the mean over visual tokens: in a batch as alone |
| ground | `unembedding @ normalize(state)` ranks the generated token first, and a dictionary decodes to words |

✓: checked. ✗: not so, and the remark says why, in the error's words where there is one.

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
        "in the text" if subject.has_visual_tokens else "elsewhere",
        *("✓" if text is None else "✗" for text in outcomes.values()),
        "; ".join(filter(None, remarks)),
    )


def row_of_unavailable(family: Unavailable) -> str:
    """The line of a family that cannot be built here.

    Fails if it can be, or cannot for another reason than the one given.
    """
    with pytest.raises(Exception, match=re.escape(family.reason)):
        family.build()
    return _line(f"`{family.name}`", *[""] * (len(COLUMNS) - 2), family.reason)


def written() -> list[str]:
    """The lines of the committed table."""
    return FILE.read_text("utf-8").splitlines()


def _line(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def main(names: list[str]) -> None:
    """Writes the file: the rows of ``names`` anew, or all of them when there are none."""
    torch.set_num_threads(1)
    rows = {line.split("`")[1]: line for line in written() if line.startswith("| `")} if names else {}
    for family in FAMILIES:
        if not names or family.name in names:
            print(family.name, flush=True)
            rows[family.name] = row_of_unavailable(family) if isinstance(family, Unavailable) else row(Subject(family))
    lines = [_line(*COLUMNS), "|" + "---|" * len(COLUMNS), *(rows[f.name] for f in FAMILIES if f.name in rows)]
    FILE.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
