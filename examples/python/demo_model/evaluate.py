"""How well the demo model captions scenes that it was never trained on: greedy captions against the known scenes."""

import argparse
import json
import re
from collections.abc import Iterable

from coxlmm import LMM
from coxlmm.demo import load_lmm, world

SPLITS = ("test", "novel")  # drawings that were trained on, in new scenes; drawings never trained on
PHRASE = re.compile(rf"a (?:({'|'.join(world.TINTS)}) )?({'|'.join(world.NOUNS)})\b")


def score(scenes: list[world.Scene], captions: list[str]) -> dict[str, float]:
    """Shares over all scenes: nouns shown that are named; nouns named that are not shown (a noun named twice and shown
    once is one of them); named objects whose tint, or lack of one, is right; backgrounds right; captions right as a
    whole."""
    shown = named = both = tint = background = exact = 0
    for scene, caption in zip(scenes, captions, strict=True):
        truth = {o.noun: o.tint or "" for o in scene.objects}
        phrases = PHRASE.findall(caption)
        said = {noun: tint for tint, noun in reversed(phrases)}
        common = truth.keys() & said.keys()
        shown, named, both = shown + len(truth), named + len(phrases), both + len(common)
        tint += sum(truth[noun] == said[noun] for noun in common)
        background += world.BACKGROUNDS[scene.background] in caption
        exact += caption.strip().rstrip(".") == scene.reference
    return {
        "scenes": len(scenes),
        "nouns_recalled": both / shown,
        "false_nouns": 1 - both / max(named, 1),
        "tint": tint / max(both, 1),
        "background": background / len(scenes),
        "whole_caption": exact / len(scenes),
    }


def evaluate(
    lmm: LMM, n: int = 1024, splits: Iterable[str] = SPLITS, batch_size: int = 64
) -> dict[str, dict[str, float]]:
    """The figures of ``n`` scenes of each split, captioned greedily."""
    figures = {}
    for split in splits:
        scenes = list(world.scenes(split, range(n)))
        captions = lmm.caption([s.image for s in scenes], batch_size=batch_size)
        figures[split] = score(scenes, captions)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1024)
    parser.add_argument("--splits", nargs="+", default=SPLITS, choices=list(world.SPLITS))
    arguments = parser.parse_args()
    print(json.dumps(evaluate(load_lmm(), arguments.scenes, arguments.splits), indent=2))
