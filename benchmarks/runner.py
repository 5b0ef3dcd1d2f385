"""Starts measurements, each in a process of its own, and keeps every result as it comes: a run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.data import Data

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def stamp() -> str:
    """Names the build of coxlmm's core, so that results of another build are measured again."""
    from coxlmm import _core

    return hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:10]


def python_stamp() -> str:
    """Names the Python part of coxlmm, likewise."""
    import coxlmm

    sources = sorted(Path(coxlmm.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:10]


@dataclass
class Runner:
    clock: str = "wall"
    budget: float = float("inf")  # seconds, after which nothing new is started
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin = time.monotonic()
        self._file = data.folder() / "results.jsonl"
        self._core = stamp()
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                entry = json.loads(line)
                # What failed is tried again: a peer may have been installed since.
                if "error" not in (entry["result"] or {}):
                    self.results[entry["key"]] = entry["result"]

    def measure(
        self, task: str, *, n_threads: int, timeout: float, ours: bool, of_python: bool = False, **arguments: Any
    ) -> dict[str, Any] | None:
        """What the function ``task`` ("module:function" of this package) returns in a process of its own.

        ``timeout`` counts from when it says that it starts; a process that is stopped has the result that it last
        reported, marked ``killed``. ``ours`` says whether coxlmm is what is measured: then another build of it means
        another result, and with ``of_python`` another version of its Python part, too. None where the budget is spent.
        """
        job = {"task": task, "arguments": arguments, "n_threads": n_threads, "clock": self.clock}
        measured = self._core if ours else ""
        key = json.dumps([job, f"{measured}/{python_stamp()}" if of_python else measured], sort_keys=True)
        if key not in self.results:
            if time.monotonic() - self._begin > self.budget:
                return None
            print(f"  {task} {_words(arguments)}, {n_threads} thread(s)", file=sys.stderr, flush=True)
            load = os.getloadavg()[0]
            # Processor time passes more slowly than the wall's where others are at work
            result = _run(job, timeout if self.clock == "wall" else 4 * timeout)
            self.results[key] = result
            entry = {"key": key, "when": time.strftime("%FT%TZ", time.gmtime()), "load": load, "result": result}
            with open(self._file, "a") as file:
                file.write(json.dumps(entry) + "\n")
        return self.results[key]


def _words(arguments: dict[str, Any]) -> str:
    return " ".join(
        f"{Data(**value).label} {Data(**value).size}" if name == "data" else f"{name}={value}"
        for name, value in arguments.items()
    )


def _run(job: dict[str, Any], timeout: float) -> dict[str, Any]:
    limits = {name: str(job["n_threads"]) for name in THREAD_LIMITS}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=data.ROOT,
        env={**os.environ, **limits},
    )
    complaints: list[str] = []
    reader = threading.Thread(target=lambda: complaints.extend(process.stderr), daemon=True)
    reader.start()
    process.stdin.write(json.dumps(job))
    process.stdin.close()
    partial: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    killed = threading.Event()
    timer: threading.Timer | None = None

    def stop() -> None:
        killed.set()
        process.kill()

    for line in process.stdout:
        if not line.startswith("{"):
            continue  # a library's own chatter
        message = json.loads(line)
        if "started" in message and timer is None:
            timer = threading.Timer(timeout, stop)
            timer.start()
        partial.update(message.get("partial") or {})
        result = message.get("result", result)
    process.wait()
    reader.join()
    if timer:
        timer.cancel()
    if result is not None:
        return result
    if killed.is_set():
        return {**partial, "killed": True}
    return {"error": "".join(complaints)[-2000:] or f"exit status {process.returncode}"}
