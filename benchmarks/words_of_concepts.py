"""Which words tell what a concept is about: ``python -m benchmarks.words_of_concepts``; the table is in README.md.

In scenes whose factors are known, every value of a factor that has a word (red, grass, boat) is looked for among the
words of the concept whose activations follow it best, where one does, for every contrast of
:func:`coxlmm.grounding.ground_words`.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations, count, islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from coxlmm import ConceptDictionary, SemiNMF, States, Whitened
from coxlmm.demo import load_lmm, scenes
from coxlmm.demo.world import scene
from coxlmm.grounding import Presence, WordFilter, ground_words
from coxlmm.states import StatesGroup

FACTORS = ("tint", "background", "companion")
CLEAR = 0.8  # AUC from which on a concept is said to follow a factor's value
FEWEST = 20  # scenes with a value, and without it
DEEP = 200  # words that are looked through
SHOWN = 10
CONTRASTS = ("none", "shared", "mean")


def aucs(codes: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Of every concept the area under the ROC curve of its activations."""
    n = has.sum()
    return (rankdata(codes, axis=0)[has].sum(axis=0) - n * (n + 1) / 2) / (n * (len(has) - n))


def followed(codes: np.ndarray, factors: list[dict[str, str]]) -> Iterator[tuple[str, int]]:
    """The values that a concept follows, each with the concept that does so best."""
    for name in FACTORS:
        values = np.array([f[name] for f in factors])
        for value in sorted({*values} - {"none"}):
            has = values == value
            if min(has.sum(), (~has).sum()) >= FEWEST and (found := aucs(codes, has)).max() >= CLEAR:
                yield value, int(found.argmax())


def overlap(words: list[list[str]]) -> float:
    """What part of its words a concept shares with another one, mean over pairs."""
    return float(np.mean([len({*a} & {*b}) / max(len(a), 1) for a, b in combinations(words, 2)]))


def estimators(n_concepts: int, states: States, seed: int) -> Iterator[tuple[str, Any]]:
    norm = float(np.linalg.norm(states.X, axis=1).mean())
    yield "Semi-NMF", SemiNMF(n_concepts, l1=norm / 30, random_state=seed)
    for power in (0.5, 1):
        plain = SemiNMF(n_concepts, l1=0.03, random_state=seed)
        yield f"Whitened, power {power}", Whitened(plain, power=power, random_state=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="directory of the assembled demo model")
    parser.add_argument("--states", type=Path, help="states of several layers; default: of 1,000 scenes, extracted now")
    parser.add_argument("--word", default="dog")
    parser.add_argument("--layers", type=int, nargs="+", default=[29, 27, 25, 23, 17])
    parser.add_argument("--concepts", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()

    lmm = load_lmm(args.model) if args.model else load_lmm()
    if args.states:
        group = StatesGroup.load(args.states)
    else:
        shown = list(islice(scenes("test", count(), args.word), 1000))
        group = lmm.extract(
            (s.image for s in shown),
            word=args.word,
            layer=args.layers,
            references=[s.reference for s in shown],
            sample_ids=[s.id for s in shown],
            batch_size=32,
        )
    accept = WordFilter(stop_words="english", languages=["en"])
    print("| layer | decomposition | contrast | values | median place | first | among 10 | mean 1/place | overlap |")
    print("|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for layer in args.layers:
        states = group[layer]
        factors = [scene(*_of(name)).factors(args.word) for name in states.sample_ids]
        rows: dict[tuple[str, str], list[tuple[list[int], float]]] = {}
        for n_concepts in args.concepts:
            for seed in range(args.seeds):
                for kind, estimator in estimators(n_concepts, states, seed):
                    dictionary = ConceptDictionary.fit(states, estimator)
                    values = list(followed(dictionary.codes, factors))
                    presence = Presence.of(dictionary.codes, getattr(estimator, "mean_", None))
                    for contrast in CONTRASTS:
                        found = ground_words(
                            dictionary.components, lmm, DEEP, accept,
                            captions=dictionary.captions, contrast=contrast, presence=presence,
                        )  # fmt: skip
                        words = [[word.text.casefold() for word in row] for row in found]
                        places = [words[k].index(v) + 1 if v in words[k] else DEEP + 1 for v, k in values]
                        rows.setdefault((kind, contrast), []).append((places, overlap([w[:SHOWN] for w in words])))
        for (kind, contrast), found in rows.items():
            places = np.array([place for one, _ in found for place in one])
            median = f"{np.median(places):.3g}" if np.median(places) <= DEEP else f"> {DEEP}"
            reciprocal = np.where(places <= DEEP, 1 / places, 0).mean()
            print(
                f"| {layer} | {kind} | {contrast} | {len(places)} | {median} | {np.mean(places == 1):.2f} | "
                f"{np.mean(places <= SHOWN):.2f} | {reciprocal:.2f} | {np.mean([share for _, share in found]):.2f} |",
                flush=True,
            )


def _of(sample_id: str) -> tuple[str, int]:
    split, _, index = sample_id.partition("-")
    return split, int(index)


if __name__ == "__main__":
    main()
