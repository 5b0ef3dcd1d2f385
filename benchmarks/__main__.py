"""``python -m benchmarks``: see README.md."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks import (
    check,
    data,
    encode,
    extraction_memory,
    fit,
    goals,
    growth,
    machine,
    memory,
    overhead,
    passes,
    quality,
    siblings,
    tables,
)  # fmt: skip
from benchmarks.data import Data
from benchmarks.fit import PENALISED, UNPENALISED, Cell
from benchmarks.runner import Runner
from benchmarks.tables import Section


def planted(M: int, D: int, K: int, noises: Iterable[float] = (0.1, 1.0)) -> list[Cell]:
    return [Cell(Data("planted", M, D, K, noise=noise)) for noise in noises]


def fit_cells(quick: bool) -> list[Cell]:
    if quick:
        return planted(500, 2048, 20)
    return [*planted(2000, 4096, 20), *planted(500, 2048, 20)]


def fit_more_cells(quick: bool) -> list[Cell]:
    """The rest of the table that a peer finishes in minutes, the most telling first."""
    unpenalised = tuple(UNPENALISED)
    small = Data("states", 500, 2048, 20)
    if quick:
        return [Cell(small, l1=0, peers=unpenalised)]
    return [
        Cell(Data("states", 2000, 4096, 20)),
        Cell(Data("states", 2000, 4096, 20), l1=0, peers=unpenalised),
        Cell(small, l1=0, peers=unpenalised),
        Cell(Data("demo", 600, 576, 20)),
        *planted(2000, 4096, 100),
        *planted(10000, 4096, 20),
        *planted(10000, 4096, 100),
    ]


def fit_large_cells() -> list[Cell]:
    streaming = ("SPAMS", "sklearn minibatch")  # the full scikit-learn decomposes X by SVD first: hours
    return [
        *(Cell(c.data, peers=tuple(PENALISED)) for c in planted(10000, 8192, 200)),
        Cell(Data("planted", 100000, 4096, 100, noise=1.0, storage="bfloat16"), peers=streaming, upcast=True),
    ]


def sections(runner: Runner, arguments: argparse.Namespace) -> dict[str, Iterable[Section]]:
    """Every section by name, in the order of importance, each an iterable of ever fuller versions of itself."""
    quick, cap, threads, repeats = arguments.quick, arguments.cap, arguments.threads, arguments.repeats
    common = {"threads": threads, "repeats": repeats, "cap": cap}
    middle = [Data("planted", 2000, 4096, K, noise=1.0) for K in ((20,) if quick else (20, 100))]
    small = [Data(kind, 300, 512, 20, noise=noise) for kind, noise in (("planted", 1.0), ("states", 0.0))]
    found = {
        "fit": fit.compare(runner, fit_cells(quick), name="fit", title="Fit, the sizes of the goals", **common),
        "pass": passes.table(
            runner, middle if quick else [*middle, Data("planted", 10000, 4096, 20, noise=1.0)], threads
        ),
        "encode": encode.batch_table(runner, middle, threads),
        "one": encode.single_table(runner, middle),
        "memory": memory.table(runner, Data("planted", 2000 if quick else 10000, 4096, 20, noise=1.0), threads),
        "growth": growth.table(
            runner, Data("planted", 10000 if quick else 100000, 1024, 20, noise=1.0),
            [1000, 3162, 10000] if quick else [1000, 3162, 10000, 31623, 100000], threads, 1 if quick else 3,
        ),
        "quality": quality.table(runner, small[:1] if quick else small, 2 if quick else 10, cap=10),
        "fit-more": fit.compare(runner, fit_more_cells(quick), name="fit-more", title="Fit, elsewhere", **common),
        "overhead": overhead.table(
            runner, [("demo", 16, 16, 3 if quick else 9), ("tiny", 64, 16, 5 if quick else 15)], threads
        ),
        "extraction-memory": extraction_memory.table(runner),
        "check": check.table(runner, small[1]),
        "siblings": siblings.table(
            runner, small[1:] if quick else [Data("states", 2000, 4096, 20)],
            [Data("nonnegative", *((500, 1024) if quick else (2000, 4096)), 20, noise=1.0)], threads, repeats,
        ),
    }  # fmt: skip
    if not quick:
        found["fit-large"] = fit.compare(
            runner, fit_large_cells(), name="fit-large", title="Fit, the largest sizes", **common
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="coxlmm beside its peers, in one run.")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats: three minutes")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="these sections alone")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, help="fits of what is quick to fit (default 3, with --quick 1)")
    parser.add_argument("--cap", type=float, help="seconds after which a fit is stopped (default 300, with --quick 30)")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which nothing new is started")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine, one thread")
    parser.add_argument("--out", type=Path, help="folder of data, results and tables (default build/benchmarks)")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (1 if arguments.quick else 3)
    arguments.cap = arguments.cap or (30 if arguments.quick else 300)
    if arguments.clock == "cpu" and arguments.threads != [1]:
        parser.error(f"--clock cpu adds up the threads' time: give --threads 1, not {arguments.threads}")
    if arguments.out:
        os.environ[data.FOLDER] = str(arguments.out.resolve())

    runner = Runner(clock=arguments.clock, budget=arguments.budget)
    available = sections(runner, arguments)
    unknown = set(arguments.only or ()) - set(available)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: there are {', '.join(available)}")
    done: dict[str, Section] = {}
    path = data.folder() / "table.md"
    for name, versions in available.items():
        if arguments.only and name not in arguments.only:
            continue
        print(name, file=sys.stderr)
        for section in versions:
            done[name] = section
            summary = goals.table({each.name: each.records for each in done.values()})
            path = tables.write(
                data.folder(), "coxlmm beside its peers", [summary, *done.values()], machine.describe(runner.clock)
            )
    print(path.read_text())


if __name__ == "__main__":
    main()
