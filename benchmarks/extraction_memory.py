"""What an extraction of many samples holds: its peak at a thousand and at ten thousand."""

from __future__ import annotations

import ctypes
import gc
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.memory import resident
from benchmarks.overhead import tiny
from benchmarks.runner import Runner
from benchmarks.tables import Section

FEW, MANY = 1_000, 10_000
SIDE = 64  # pixels
SHARD = 1 << 20  # bytes
FEATURES = 512  # a vector is then larger than what describes it


def run(n_images: int, traced: bool, n_threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The task of a worker: images are made as they are asked for, and every one counts, so that states go on disk."""
    import numpy as np
    import torch
    from PIL import Image

    from coxlmm import states_files

    torch.set_num_threads(n_threads)
    states_files._SHARD_BYTES = SHARD
    lmm = tiny(FEATURES)
    pixels = np.random.default_rng(0)

    def extract(n: int, folder: str) -> Any:
        noise = (pixels.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(n))
        return lmm.extract(
            map(Image.fromarray, noise), None, position="prompt", batch_size=50, max_new_tokens=1,
            out=Path(folder) / str(n),
        )  # fmt: skip

    with tempfile.TemporaryDirectory(dir=data.folder()) as folder:
        extract(400, folder)  # a window: whatever is loaded and kept once
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, or else it is taken again unseen
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        if traced:
            tracemalloc.start()
        states = extract(n_images, folder)
        peak = tracemalloc.get_traced_memory()[1] if traced else resident("VmHWM") - before
    return {"matches": len(states), "vector": 4 * states.X.shape[1], "peak": peak}


def table(runner: Runner) -> Iterable[Section]:
    rows, records = [], []
    columns = [
        "measured", f"peak at {FEW}, MB", f"peak at {MANY}, MB", "difference a sample, B", "its vector, B",
    ]  # fmt: skip
    for traced, name in ((False, "resident size"), (True, "tracemalloc")):
        found = [
            runner.measure(
                "extraction_memory:run", n_threads=1, timeout=900, ours=True, of_python=True, n_images=n, traced=traced
            ) or {}
            for n in (FEW, MANY)
        ]  # fmt: skip
        record: dict[str, Any] = {"measured": name, "few": found[0], "many": found[1]}
        if all("peak" in one for one in found):
            few, many = (one["peak"] for one in found)
            record["growth"] = (many - few) / (found[1]["matches"] - found[0]["matches"])
            row = [f"{few / 1e6:.1f}", f"{many / 1e6:.1f}", f"{record['growth']:.0f}", str(found[1]["vector"])]
        else:
            row = [next((one["error"] for one in found if "error" in one), "not run")[-80:], "-", "-", "-"]
        records.append(record)
        rows.append([name, *row])
        yield Section("extraction-memory", "Memory of an extraction", _EXPLANATION, columns, rows, records)


_EXPLANATION = (
    f"The largest size while the states of so many images of {SIDE} x {SIDE} pixels are extracted to disk and loaded, "
    "beyond that after an extraction of 400, each in a process of its own: the resident size (Linux's VmHWM, reset "
    "before), which has everything, and tracemalloc's, which has what Python and numpy allocate, not torch. The model "
    f"is the tiny one of the overhead with {FEATURES} features. Every image counts. The states are in shards of "
    f"{SHARD >> 20} MB here, since one is held up to three times while it is written: what comes of the default, "
    "256 MB, does not grow with the samples either, but would hide what does."
)
