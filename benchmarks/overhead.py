"""What an extraction costs beyond what it stands on: the processor, ``model.generate`` and the decoding of its ids."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import data
from benchmarks.runner import Runner
from benchmarks.tables import Section, seconds
from benchmarks.worker import tell

TOKENS = 32  # at most, a caption
Clock = Callable[[], float]


def demo() -> Any:
    """The demo model, 135 million parameters, with its pretrained language model."""
    from coxlmm.demo import model

    return model.load_lmm(data.folder() / "data" / model.NAME)


def tiny(n_features: int = 64) -> Any:
    """A LLaVA of two small layers and random weights, with the demo's processor: whatever it computes is soon done."""
    import torch
    from transformers import LlavaForConditionalGeneration

    from coxlmm import LMM

    whole = demo()
    config = whole.model.config
    config.text_config.update({
        "hidden_size": n_features, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "layer_types": ["full_attention"] * 2,
    })  # fmt: skip
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).eval()
    model.generation_config = whole.model.generation_config
    return LMM(model, whole.processor, prompt=whole.prompt)


MODELS: dict[str, Callable[[], Any]] = {"demo": demo, "tiny": tiny}


def bare(lmm: Any, images: list[Any], batch_size: int, clock: Clock) -> tuple[dict[str, float], list[str]]:
    """Seconds of the processor, of ``generate`` and of decoding, as one writes them by hand; and the captions."""
    import torch

    spent = {"preprocess": 0.0, "generate": 0.0, "decode": 0.0}
    captions: list[str] = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        times = [clock()]
        inputs = lmm.processor(
            images=[[image] for image in batch], text=[lmm.prompt] * len(batch), padding=True, padding_side="left",
            return_tensors="pt",
        ).to(lmm.device)  # fmt: skip
        times.append(clock())
        with torch.inference_mode():
            ids = lmm.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        times.append(clock())
        answers = lmm.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        captions += [answer.strip() for answer in answers]
        times.append(clock())
        for part, begin, end in zip(spent, times, times[1:], strict=False):
            spent[part] += end - begin
    return spent, captions


def run(
    model: str, n_images: int, batch_size: int, repeats: int, on_disk: bool, n_threads: int, clock: Clock
) -> dict[str, Any]:
    """The task of a worker: both sides on the same images in the same batches, one after the other, in turns."""
    from itertools import count, islice

    import torch

    from coxlmm.demo import world

    torch.set_num_threads(n_threads)
    lmm = MODELS[model]()
    images = [scene.image.convert("RGB") for scene in islice(world.scenes("test", count(), "dog"), n_images)]
    expected = bare(lmm, images, batch_size, clock)[1]
    word = "dog" if model == "demo" else max(re.findall(r"[a-z]+", " ".join(expected)), key=len)

    def extract(folder: str) -> float:
        begin = clock()
        states = lmm.extract(
            images, word, batch_size=batch_size, max_new_tokens=TOKENS, out=Path(folder) / "states" if on_disk else None
        )
        spent = clock() - begin
        captions = dict(zip(map(int, states.sample_ids), states.captions, strict=True))
        wrong = [i for i, caption in captions.items() if caption != expected[i]]
        if wrong:
            raise RuntimeError(f"image {wrong[0]}: {captions[wrong[0]]!r}, but generate says {expected[wrong[0]]!r}")
        return spent

    with tempfile.TemporaryDirectory(dir=data.folder()) as folder:
        extract(folder)
    tell("started")
    found: dict[str, list[float]] = {"preprocess": [], "generate": [], "decode": [], "extract": []}
    for turn in range(repeats):
        sides: list[Callable[[], Any]] = [lambda: bare(lmm, images, batch_size, clock)[0]]
        with tempfile.TemporaryDirectory(dir=data.folder()) as folder:
            sides.append(lambda folder=folder: {"extract": extract(folder)})
            for side in sides if turn % 2 else reversed(sides):
                for part, value in side().items():
                    found[part].append(value)
        tell("partial", found)
    return found


def table(runner: Runner, cells: Iterable[tuple[str, int, int, int]], threads: Iterable[int]) -> Iterable[Section]:
    """``cells``: model, images, images a batch, repeats."""
    cells = list(cells)
    rows, records = [], []
    columns = [
        "model", "images / batch", "threads", "states", "generate, ms", "all three, ms", "extract, ms",
        "over generate", "over all three",
    ]  # fmt: skip
    for n_threads in threads:
        for model, n_images, batch_size, repeats in cells:
            for on_disk in (False, True):
                found = runner.measure(
                    "overhead:run", n_threads=n_threads, timeout=600, ours=True, of_python=True, model=model,
                    n_images=n_images, batch_size=batch_size, repeats=repeats, on_disk=on_disk,
                )  # fmt: skip
                record = {
                    "model": model, "n_images": n_images, "batch_size": batch_size, "threads": n_threads,
                    "on_disk": on_disk, **(found or {}),
                }  # fmt: skip
                cost: dict[str, list[float]] = {}
                if record.get("extract"):
                    # Of one turn each: what slows the machine for a while slows both sides.
                    parts = ("preprocess", "generate", "decode", "extract")
                    turns = list(zip(*(record[part] for part in parts), strict=False))
                    cost["generate"] = [g for _, g, _, _ in turns]
                    cost["all"] = [p + g + d for p, g, d, _ in turns]
                    record["over_generate"] = [e / g for (*_, e), g in zip(turns, cost["generate"], strict=True)]
                    record["ratio"] = [e / a for (*_, e), a in zip(turns, cost["all"], strict=True)]
                records.append(record)
                rows.append(
                    [
                        model, f"{n_images} / {batch_size}", str(n_threads), "on disk" if on_disk else "in memory",
                        seconds(cost.get("generate"), scale=1e3), seconds(cost.get("all"), scale=1e3),
                        seconds(record.get("extract"), scale=1e3) if cost else record.get("error", "not run")[-80:],
                        _share(record.get("over_generate")), _share(record.get("ratio")),
                    ]
                )  # fmt: skip
                yield Section("overhead", "Extraction beside generate", _EXPLANATION, columns, rows, records)


def _share(ratios: list[float] | None) -> str:
    if not ratios:
        return "-"
    return f"{median(ratios) - 1:+.1%} [{min(ratios) - 1:+.1%} to {max(ratios) - 1:+.1%}]"


_EXPLANATION = (
    "LMM.extract beside what one writes by hand for the captions alone: the processor, model.generate (greedy, "
    f"{TOKENS} tokens at most) and batch_decode, on the same images in the same batches, which say the same. Both "
    "sides take turns in one process: medians [least-most], and of the ratios of each turn. The images are in "
    "memory; to open them costs both sides the same. 'tiny' has two layers of 64 features: what there is beside the "
    "model."
)
