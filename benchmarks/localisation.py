"""Which heat maps of a concept are faithful: ``python -m benchmarks.localisation``; the table is in README.md.

In scenes whose factors are known, concepts of the demo model at "dog" are located by every method. A map is judged by
what becomes of the concept's activation at the word as the image is covered, or uncovered, in the map's order
(:mod:`coxlmm.localisation.faithfulness`), beside random orders; and, where activations follow one factor of the scene,
by whether the map is hotter where that factor is to be seen: the area under the ROC curve over pixels.
"""

import argparse
from collections import defaultdict
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from coxlmm import ConceptDictionary, SemiNMF, States
from coxlmm.demo import Scene, load_lmm, scenes
from coxlmm.localisation import METHODS, Spoken, heat_maps_of
from coxlmm.localisation.faithfulness import curves

# What of a scene is seen where: at the dog, at its companion, or at neither.
FACTORS = ("tint", "companion", "background")
RANDOM = "random orders"
CLEAR = 0.8  # AUC from which on a concept is said to follow a factor's value


def followed(codes: np.ndarray, factors: list[dict[str, str]]) -> list[tuple[str, str] | None]:
    """For each concept the value of a factor that its activations follow best, if they do."""
    found = []
    for activations in codes.T:
        best = (CLEAR, None)
        for name in FACTORS:
            for value in sorted({f[name] for f in factors} - {"none"}):
                auc = roc_auc_score([f[name] == value for f in factors], activations)
                best = max(best, (auc, (name, value)), key=lambda pair: pair[0])
        found.append(best[1])
    return found


def shown(scene: Scene, word: str, factor: str) -> np.ndarray:
    """The pixels that show a factor of the scene."""
    cover = scene.render()[1]
    dog = [o.noun for o in scene.objects].index(word)
    if factor == "tint":
        return cover[dog] > 0.5
    return (cover[1 - dog] if factor == "companion" else 1 - cover.sum(axis=0)) > 0.5


def area(curve: np.ndarray, fractions: np.ndarray) -> float:
    return float(np.sum(np.diff(fractions) * (curve[1:] + curve[:-1]) / 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="directory of the assembled demo model")
    parser.add_argument("--states", type=Path, help="states of the word; default: of 1,000 scenes, extracted now")
    parser.add_argument("--word", default="dog")
    parser.add_argument("--layer", type=int, default=-1)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--concepts", type=int, default=2, help="of each scene, those activated most")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--random", type=int, default=2, help="random orders for each scene")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lmm = load_lmm(args.model)
    found = {scene.id: scene for scene in islice(scenes("test", count(), args.word), 1000)}
    if args.states is None:
        images = [scene.image for scene in found.values()]
        states = lmm.extract(images, args.word, sample_ids=list(found), layer=args.layer, batch_size=32)
    else:
        states = States.load(args.states)
        states = states.subset([i for i, name in enumerate(states.sample_ids) if name in found])
    apart, rest = states.subset(slice(args.scenes)), states.subset(slice(args.scenes, None))
    l1 = float(np.linalg.norm(rest.X, axis=1).mean()) / 30
    dictionary = ConceptDictionary.fit(rest, SemiNMF(20, l1=l1, random_state=0))
    values = followed(dictionary.codes, [found[name].factors(args.word) for name in rest.sample_ids])

    rng = np.random.default_rng(0)
    # By kind of order one figure for each scene and concept, in the same sequence.
    areas, pointed = defaultdict(list), defaultdict(list)
    for name, tokens, codes in zip(apart.sample_ids, apart.tokens, dictionary.encode(apart), strict=True):
        scene = found[name]
        spoken = Spoken(dictionary, lmm, scene.image, tokens)
        top = [int(k) for k in np.argsort(-codes)[: args.concepts] if codes[k] > 0]
        for method in METHODS:
            (maps,) = heat_maps_of([spoken], [top], method)
            shape = maps[top[0]].shape
            orders = [np.argsort(-maps[k], axis=None, kind="stable") for k in top]
            if method == METHODS[0]:
                orders += [rng.permutation(maps[top[0]].size) for _ in range(args.random)]
            fractions, activations = curves(spoken, orders, shape, n_steps=args.steps)
            curves_area = np.array([[[area(c, fractions) for c in kind.T] for kind in order] for order in activations])
            whole = activations[0, 0, 0]
            curves_area /= np.where(whole > 0, whole, 1)  # of those that are not asked about some are not active
            areas[method] += [curves_area[i, :, k] for i, k in enumerate(top)]
            if method == METHODS[0]:
                areas[RANDOM] += [curves_area[len(top) :, :, k].mean(axis=0) for k in top]
            for k in top:
                if values[k] is None or scene.factors(args.word)[values[k][0]] != values[k][1]:
                    continue
                truth = shown(scene, args.word, values[k][0])
                size = (truth.shape[1], truth.shape[0])
                heat = np.asarray(Image.fromarray(maps[k].astype(np.float32)).resize(size, Image.Resampling.NEAREST))
                pointed[method, values[k][0]].append(roc_auc_score(truth.ravel(), heat.ravel()))
        print(".", end="", flush=True)
        if scene.id == apart.sample_ids[-1] or len(areas[RANDOM]) % 8 == 0:
            print(f"\n{table(areas, pointed)}", flush=True)


def table(areas: dict[str, list[np.ndarray]], pointed: dict[tuple[str, str], list[float]]) -> str:
    """Means over scenes and concepts; in brackets the paired difference from random orders and its standard error."""
    lines = [f"| map | deletion (lower) | insertion (higher) | {' | '.join(f'AUC, {f}' for f in FACTORS)} |"]
    lines.append("|---|---:|---:|" + "---:|" * len(FACTORS))
    chance = np.array(areas[RANDOM])
    for kind, figures in areas.items():
        own = np.array(figures)
        error = (own - chance).std(axis=0) / np.sqrt(len(own))
        cells = [
            f"{own[:, i].mean():.2f}"
            + ("" if kind == RANDOM else f" ({(own - chance)[:, i].mean():+.2f} ± {error[i]:.2f})")
            for i in (0, 1)
        ]
        cells += [f"{np.mean(p):.2f} (n={len(p)})" if (p := pointed.get((kind, f))) else "" for f in FACTORS]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
