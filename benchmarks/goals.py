"""The goals, each beside what was measured: read off the numbers of the other sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.tables import Section

Records = dict[str, list[dict[str, Any]]]
SKLEARN = ("sklearn",)
SPAMS = ("SPAMS", "SPAMS batch")


def _fits(records: Records, sections: Sequence[str], peers: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    for section in sections:
        for record in records.get(section, []):
            if "peer_seconds" in record and (peers is None or record["peer"] in peers):
                yield record


def _slowest(found: Sequence[dict[str, Any]], goal: float) -> tuple[str, str]:
    """The least ratio, and how many of the cells are at the goal."""
    if not found:
        return "-", "not measured"
    never = [r for r in found if "ratio" not in r]
    ratios = [r["ratio"] for r in found if "ratio" in r]
    at_goal = sum(value >= goal for value in ratios)
    text = f"{min(ratios):.3g}x to {max(ratios):.3g}x" if ratios else "-"
    if never:
        text += f"; never reached in {len(never)}"
    if at_goal == len(found):
        return text, "met"
    censored = sum(r["ratio"] < goal and bool(r.get("stopped")) for r in found if "ratio" in r)
    verdict = f"met in {at_goal} of {len(found)}"
    return text, verdict + (f" ({censored} of the others stopped at the cap)" if censored else "")


def _least(values: Sequence[float], good: Callable[[float], bool], form: Callable[[float], str]) -> tuple[str, str]:
    if not values:
        return "-", "not measured"
    met = sum(good(v) for v in values)
    text = form(min(values)) + (f" to {form(max(values))}" if len(values) > 1 else "")
    return text, "met" if met == len(values) else f"met in {met} of {len(values)}"


def table(records: Records) -> Section:
    """Everything measured so far against the goals."""
    everywhere = ("fit", "fit-more", "fit-large")
    main = [r for r in _fits(records, ["fit"], None) if r["size"] == "2000x4096x20"]
    rest = [r for r in _fits(records, everywhere, None) if r not in main]
    encode = [r for r in records.get("encode", []) if "ratio" in r]
    one = [
        r["times"][1] * 1e6 for r in records.get("one", [])
        if r["encoder"] == "SparseEncoder" and "times" in r and r["size"].endswith("x4096x20")
    ]  # fmt: skip
    slopes = next((r["slopes"] for r in records.get("growth", []) if "slopes" in r), {})
    beyond = [median(r["ratio"]) - 1 for r in records.get("overhead", []) if "ratio" in r and r["model"] == "demo"]
    growth = [r["growth"] / r["many"]["vector"] for r in records.get("extraction-memory", []) if "growth" in r]
    quality = [median(r["relative"]) for r in records.get("quality", []) if r["solver"] != "coxlmm"]
    entries = [
        (
            "fit at 2000x4096x20, scikit-learn DictionaryLearning", ">= 100x",
            _slowest([r for r in main if r["peer"] in SKLEARN], 100),
        ),
        ("fit at 2000x4096x20, SPAMS", ">= 8x", _slowest([r for r in main if r["peer"] in SPAMS], 8)),
        (
            "fit elsewhere, scikit-learn DictionaryLearning", ">= 50x",
            _slowest([r for r in rest if r["peer"] in SKLEARN], 50),
        ),
        ("fit elsewhere, SPAMS", ">= 5x", _slowest([r for r in rest if r["peer"] in SPAMS], 5)),
        ("fit, every peer everywhere", ">= 1x", _slowest(list(_fits(records, everywhere, None)), 1)),
        (
            "one full pass over the floor", "<= 1.5x",
            _least([r["ratio"] for r in records.get("pass", []) if "ratio" in r], lambda v: v <= 1.5, "{:.2f}x".format),
        ),
        (
            "encode a batch, scikit-learn", ">= 25x",
            _least([r["ratio"] for r in encode if "sklearn" in r["encoder"]], lambda v: v >= 25, "{:.3g}x".format),
        ),
        (
            "encode a batch, SPAMS", ">= 3x",
            _least([r["ratio"] for r in encode if "SPAMS" in r["encoder"]], lambda v: v >= 3, "{:.3g}x".format),
        ),
        ("encode one sample, D=4096, K=20", "<= 20 us", _least(one, lambda v: v <= 20, "{:.1f} us".format)),
        (
            "memory beyond X", "<= 10%",
            _least(
                [r["share"] for r in records.get("memory", []) if "share" in r and r["solver"] == "coxlmm"],
                lambda v: v <= 0.1, "{:.1%}".format,
            ),
        ),
        (
            "exponent of M in the time", "about 1",
            _least(list(slopes.values()), lambda v: v <= 1.1, "{:.2f}".format),
        ),
        (
            "extraction beyond processor, generate and decoding, demo model", "<= 2%",
            _least(beyond, lambda v: v <= 0.02, "{:+.1%}".format),
        ),
        (
            "what an extraction holds of a match, in vectors: one, and its caption", "< 2",
            _least(growth, lambda v: v < 2, "{:.2f}".format),
        ),
        (
            "quality: peer's median over coxlmm's", ">= 1",
            _least(quality, lambda v: v >= 1 - 1e-6, "{:.6f}".format),
        ),
    ]  # fmt: skip
    rows = [[what, goal, measured, met] for what, goal, (measured, met) in entries]
    return Section(
        "goals", "Goals", "Least and most over all cells below.", ["what", "goal", "measured", "verdict"], rows,
        [dict(zip(("what", "goal", "measured", "verdict"), row, strict=True)) for row in rows],
    )  # fmt: skip
