"""Extracts, is killed, and extracts again: a program of its own, started by test_jobs.py.

It forks a child for every attempt, since to start a program takes longer than all that the child does.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from extraction.killing import kill_at
from tiny_models import image, tiny_idefics3

from coxlmm import LMM, atomic, extraction, journal, parts, states_files
from coxlmm.samples import Sample
from coxlmm.states import StatesGroup

WRITING = (atomic, extraction, journal, parts, states_files)


def extract(out: Path) -> None:
    torch.set_num_threads(1)
    samples = (Sample(image(i, (8 + i % 3 * 8, 16)), f"{i}.png") for i in range(40))
    lmm.extract(samples, ["the", "in"], layer=[0, -1], max_new_tokens=6, batch_size=2, workers=1, out=out, verify=2)


def attempt(out: Path, *, after: float | None = None, at_line: int | None = None) -> bool:
    """Whether a child came to its end before it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if at_line is not None:
                kill_at(at_line, WRITING)
            extract(out)
            status = 0
        finally:
            os._exit(status)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("the extraction failed")
    return os.WIFEXITED(status)


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def main(root: Path, how: str, n_kills: int) -> None:
    # Against power cuts only: a kill loses nothing that was written.
    os.fsync = lambda descriptor: None
    rng = random.Random(n_kills)
    unbroken = root / "unbroken"
    began = time.monotonic()
    attempt(unbroken)
    duration = time.monotonic() - began
    expected, whole = files(unbroken), StatesGroup.load(unbroken)
    lines = 40_000  # more than there are: halved until a child dies of it
    while how == "lines" and attempt(root / "probe", at_line=lines):
        lines //= 2
        shutil.rmtree(root / "probe", ignore_errors=True)
    kills = rounds = attempts = 0
    while kills < n_kills:
        out = root / f"round-{rounds}"
        while True:
            attempts += 1
            moment = {"after": rng.uniform(0, duration)} if how == "moments" else {"at_line": rng.randint(1, 2 * lines)}
            if attempt(out, **moment):
                break
            kills += 1
            if out.exists():  # then all of it is there but, perhaps, what came of verifying it
                for key, states in StatesGroup.load(out).items():
                    if not np.array_equal(states.X, whole[key].X):
                        sys.exit(f"the states of {key} were at their place before they were complete")
        if files(out) != expected:
            sys.exit(f"round {rounds}: not the bytes of an unbroken run")
        rounds += 1
    finished = {"unbroken", *(f"round-{i}" for i in range(rounds))}
    left = sorted(p.name for p in root.iterdir() if p.name not in finished and "probe" not in p.name)
    print(json.dumps({"kills": kills, "rounds": rounds, "attempts": attempts, "left": left}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    lmm = LMM(*tiny_idefics3())
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
