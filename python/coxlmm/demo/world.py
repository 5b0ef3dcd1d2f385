"""The demo world: scenes of one or two objects on a background, drawn on the fly from emoji sprites.

A scene is a pure function of its split and index, so a data set is a range of integers: nothing is stored, and every
factor that the picture varies is known (:attr:`Scene.factors`). The sprites, their owners and licences are listed in
``data/README.md`` and in the project's NOTICE.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np
from PIL import Image

IMAGE_SIZE = 96
NOUNS = ("dog", "cat", "bird", "fish", "horse", "car", "train", "boat", "bike", "house", "tree", "flower")
TINTS = {"red": (214, 40, 40), "blue": (45, 90, 220), "green": (40, 160, 60), "yellow": (238, 200, 30)}
BACKGROUNDS = {
    "grass": "on the grass",
    "sand": "on the sand",
    "snow": "in the snow",
    "water": "on the water",
    "road": "on the road",
}
SPLITS = {"train": 0, "test": 1, "novel": 2}
_SPRITE_SIZES = (38, 50)  # side of a drawn sprite in pixels, both ends included
_NOVEL_EVERY = 8  # one drawing in eight of every noun is kept out of all training


@dataclass(frozen=True)
class SceneObject:
    """One drawn object. ``box`` is (left, top, side) in pixels; ``tint`` is None for the sprite's own colours."""

    noun: str
    kind: str
    style: str
    tint: str | None
    box: tuple[int, int, int]
    sprite: int
    mirrored: bool

    @property
    def phrase(self) -> str:
        return f"a {self.tint} {self.noun}" if self.tint else f"a {self.noun}"

    @property
    def place(self) -> str:
        """Where the object's centre is: the third of the image's width that holds it."""
        left, _, side = self.box
        return ("left", "centre", "right")[min(2, (left + side // 2) * 3 // IMAGE_SIZE)]


@dataclass(frozen=True)
class Scene:
    """One scene: ``objects`` from left to right, as the caption names them."""

    split: str
    index: int
    objects: tuple[SceneObject, ...]
    background: str

    @property
    def id(self) -> str:
        return f"{self.split}-{self.index:06d}"

    @property
    def reference(self) -> str:
        """The reference caption, such as ``a red dog and a boat on the grass``."""
        return f"{' and '.join(o.phrase for o in self.objects)} {BACKGROUNDS[self.background]}"

    def factors(self, noun: str | None = None) -> dict[str, str]:
        """What varies in the scene, seen from the object called ``noun`` (default: the first one named)."""
        names = [o.noun for o in self.objects]
        if noun is not None and noun not in names:
            raise ValueError(f"scene {self.id} shows {', '.join(names)}, not {noun!r}")
        at = names.index(noun) if noun is not None else 0
        main = self.objects[at]
        return {
            "noun": main.noun,
            "kind": main.kind,
            "style": main.style,
            "tint": main.tint or "none",
            "place": main.place,
            "companion": names[1 - at] if len(names) == 2 else "none",
            "order": "first" if at == 0 else "second",
            "background": self.background,
        }

    @cached_property
    def image(self) -> Image.Image:
        """The picture, RGB, 96 x 96 pixels."""
        return Image.fromarray(self.render()[0])

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture (96 x 96 x 3, uint8) and each object's share of each pixel (objects x 96 x 96, 0 to 1)."""
        canvas = _background(self.background, np.random.default_rng([SPLITS[self.split], self.index, 1]))
        cover = np.zeros((len(self.objects), IMAGE_SIZE, IMAGE_SIZE), np.float32)
        for i, o in enumerate(self.objects):
            left, top, side = o.box
            rgba = _sprite(o.sprite, side, o.mirrored)
            rgb, alpha = rgba[..., :3], rgba[..., 3:] * np.float32(1 / 255)
            if o.tint:
                # The drawing keeps its light and shade and takes one hue; its lights go towards white, so that a dark
                # tint still shows what is drawn.
                light = (rgb @ np.array([0.299, 0.587, 0.114], np.float32) * np.float32(1 / 255))[..., None]
                rgb = np.array(TINTS[o.tint], np.float32) * (0.3 + 0.7 * light) + 70 * light**2
            window = canvas[top : top + side, left : left + side]
            window += (rgb - window) * alpha
            cover[i, top : top + side, left : left + side] = alpha[..., 0]
        return np.clip(canvas, 0, 255).astype(np.uint8), cover


def scene(split: str, index: int) -> Scene:
    """The scene number ``index`` (0, 1, 2, ...) of ``split``: "train", "test" (the same drawings in other scenes) or
    "novel" (only drawings that "train" and "test" never show)."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"scene index {index} is negative")
    rng = np.random.default_rng([SPLITS[split], index, 0])
    nouns = rng.choice(len(NOUNS), size=1 + rng.integers(2), replace=False)
    sides = rng.integers(_SPRITE_SIZES[0], _SPRITE_SIZES[1], size=len(nouns), endpoint=True)
    sides = np.minimum(sides, IMAGE_SIZE // len(nouns))
    free = IMAGE_SIZE - int(sides.sum())
    lefts = np.sort(rng.integers(0, free, size=len(nouns), endpoint=True)) + np.cumsum([0, *sides[:-1]])
    objects = []
    for noun, side, left in zip(nouns, sides, lefts, strict=True):
        number = int(rng.choice(_drawings(NOUNS[noun], split == "novel")))
        drawing = _catalogue()["sprites"][number]
        tint = list(TINTS)[rng.integers(len(TINTS))] if rng.random() < 0.5 else None
        top = int(rng.integers(0, IMAGE_SIZE - side, endpoint=True))
        objects.append(
            SceneObject(
                NOUNS[noun], drawing["kind"], drawing["style"], tint, (int(left), top, int(side)), number,
                bool(rng.random() < 0.5),
            )
        )  # fmt: skip
    return Scene(split, index, tuple(objects), list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))])


def scene_of(scene_id: str) -> Scene:
    """The scene that has this :attr:`Scene.id`."""
    split, index = scene_id.split("-")
    return scene(split, int(index))


def scenes(split: str, indices: Iterable[int], word: str | None = None) -> Iterator[Scene]:
    """The scenes of ``split`` at ``indices``; with ``word``, only those that show it. Nothing is drawn before
    ``Scene.image`` is asked for."""
    if word is not None and word not in NOUNS:
        raise ValueError(f"the demo world has no {word!r}; it has {', '.join(NOUNS)}")
    made = (scene(split, i) for i in indices)
    return (s for s in made if word is None or any(o.noun == word for o in s.objects))


def _data(name: str):
    return files(__package__) / "data" / name


@lru_cache(1)
def _catalogue() -> dict:
    return json.loads(_data("sprites.json").read_text())


@lru_cache(1)
def _atlas() -> Image.Image:
    with _data("atlas.webp").open("rb") as f:
        return Image.open(f).convert("RGBA")


@lru_cache
def _drawings(noun: str, novel: bool) -> list[int]:
    numbers = [i for i, d in enumerate(_catalogue()["sprites"]) if d["noun"] == noun]
    held_out = numbers[_NOVEL_EVERY // 2 :: _NOVEL_EVERY]
    return held_out if novel else [i for i in numbers if i not in held_out]


@lru_cache(maxsize=16384)
def _sprite(number: int, side: int, mirrored: bool) -> np.ndarray:
    """A sprite at the size at which it is drawn: side x side x 4 (RGBA), float32 from 0 to 255."""
    tile, columns = _catalogue()["tile"], _catalogue()["columns"]
    x, y = number % columns * tile, number // columns * tile
    drawing = _atlas().crop((x, y, x + tile, y + tile)).resize((side, side), Image.Resampling.BICUBIC)
    if mirrored:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(drawing, np.float32)


def _background(name: str, rng: np.random.Generator) -> np.ndarray:
    """A texture that fills the image: 96 x 96 x 3, float32 from 0 to 255, another one on every call."""
    n = IMAGE_SIZE
    rows, columns = np.mgrid[0:n, 0:n].astype(np.float32)
    speckle = rng.random((n // 2, n // 2), np.float32).repeat(2, 0).repeat(2, 1) - np.float32(0.5)
    phase, slope = rng.uniform(0, 2 * np.pi), rng.uniform(-0.15, 0.15)
    if name == "grass":
        blades = rng.random((n // 8, n // 2), np.float32).repeat(8, 0).repeat(2, 1) - np.float32(0.5)
        base, light = (96, 158, 62), 50 * blades + 20 * speckle
    elif name == "sand":
        base, light = (222, 190, 132), 26 * speckle + 8 * np.sin(0.18 * rows + slope * columns + phase)
    elif name == "snow":
        base, light = (236, 241, 247), 8 * speckle + 9 * np.sin(0.07 * rows + slope * columns + phase)
    elif name == "water":
        base, light = (62, 134, 196), 10 * speckle + 20 * np.sin(0.55 * rows + 1.5 * np.sin(0.13 * columns + phase))
    else:  # road
        centre = rng.integers(20, n - 20)
        dashes = (np.abs(rows - centre) < 2) & ((columns + 20 * phase) % 28 < 16)
        base, light = (98, 98, 104), 24 * speckle + 130 * dashes
    return (np.array(base, np.float32) + rng.uniform(-8, 8) + light[..., None]).astype(np.float32)
