"""One measurement in a process of its own: its thread limits are set before anything is imported, its memory peak is
its own, and it can be stopped. Reads a job as JSON from the standard input, writes lines of JSON."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def tell(kind: str, value: Any = None) -> None:
    print(json.dumps({kind: value}), flush=True)


def main() -> None:
    job = json.load(sys.stdin)
    module, _, name = job["task"].partition(":")
    task = getattr(import_module(f"benchmarks.{module}"), name)
    tell("result", task(**job["arguments"], n_threads=job["n_threads"], clock=CLOCKS[job["clock"]]))


if __name__ == "__main__":
    main()
