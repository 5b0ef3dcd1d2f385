"""Where in an image its visual tokens lie."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from coxlmm.architecture import UnsupportedModelError

if TYPE_CHECKING:
    from coxlmm.models import LMM

# Names of modules and parameters by which a model's visual tokens are answers to learned queries: none has a place.
_QUERIES = ("qformer", "resampler", "perceiver", "query_tokens", "latent_query", "image_query", "queries")
# How far pixels may lie from where a shift and a scale put them, as a part of the image's side.
_STRAIGHT = 0.02


@dataclass(frozen=True)
class Grid:
    """The visual tokens of an image in rows, from the top, left to right.

    Attributes
    ----------
    rows, columns : int
    box : (left, top, right, bottom)
        What they cover, in parts of the image's width and height: within 0 and 1 where the processor crops the image,
        beyond where it pads it.
    """

    rows: int
    columns: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def on_image(self, values: np.ndarray) -> np.ndarray:
        """One value a visual token, in their order, as a map of the whole image.

        Returns
        -------
        ndarray, rows x columns
            Of the image, in cells as large as those of the tokens, or nearly: each has the value of the token at its
            middle, and 0 where the model sees nothing of the image.
        """
        grid = np.asarray(values).reshape(self.rows, self.columns)
        left, top, right, bottom = self.box
        down, visible_down = _cells(top, bottom, self.rows)
        across, visible_across = _cells(left, right, self.columns)
        return np.where(np.outer(visible_down, visible_across), grid[np.ix_(down, across)], 0)


def grid_of(lmm: "LMM", image: Image.Image) -> Grid:
    """Where the visual tokens of an image lie.

    Their number alone tells little: a processor may crop, pad or cut the image in tiles, and a resampler gives tokens
    that are of no place. So pictures of the image's size, whose pixels tell where they are, are put through the
    processor, and what comes out is read.

    Parameters
    ----------
    lmm : LMM
    image : PIL image

    Raises
    ------
    UnsupportedModelError
        If the model's visual tokens are not one grid over the image, or nothing tells whether they are.
    """
    asked = _asked(lmm)
    if asked is not None:
        raise _no_grid(lmm, f"its visual tokens are answers to learned queries ({asked})")
    inputs = lmm.inputs([image])
    n = int(lmm.visual_positions(inputs).sum())
    if (sizes := inputs.get("image_grid_thw")) is not None:
        return _stated(lmm, n, sizes)
    pixels = _pixels(lmm, inputs)
    rows, columns = _rows_and_columns(lmm, n, *pixels.shape[-2:])
    return Grid(rows, columns, _box(lmm, image.size))


def _asked(lmm: "LMM") -> str | None:
    parameters = [name for name, _ in lmm.model.named_parameters()]
    names = [name for name, _ in lmm.model.named_modules()] + parameters
    found = [name for name in names if any(word in name.lower() for word in _QUERIES)]
    # As a module it is a matrix of an attention, as a parameter the queries themselves.
    return next(iter(found + [name for name in parameters if name.endswith(".query")]), None)


def _no_grid(lmm: "LMM", reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"where in the image the visual tokens of {type(lmm.model).__name__} lie is not known: {reason}; "
        f"method='occlusion' asks the image itself"
    )


def _stated(lmm: "LMM", n: int, sizes: torch.Tensor) -> Grid:
    """The grid of Qwen2-VL and its kin, who scale the whole image to a size that they state in patches."""
    if len(sizes) != 1 or int(sizes[0, 0]) != 1:
        raise _no_grid(lmm, f"the image became {len(sizes)} of sizes {sizes.tolist()}")
    vision = getattr(lmm.model.config, "vision_config", None)
    merged = getattr(vision, "spatial_merge_size", None) or getattr(lmm.processor.image_processor, "merge_size", 1)
    rows, columns = (int(side) // merged for side in sizes[0, 1:])
    if rows * columns != n:
        raise _no_grid(lmm, f"{n} visual tokens are not the {rows} x {columns} that its inputs tell")
    return Grid(rows, columns)


def _pixels(lmm: "LMM", inputs: Mapping[str, Any]) -> torch.Tensor:
    pixels = inputs.get("pixel_values")
    shape = None if pixels is None else tuple(pixels.shape)
    if shape is not None and len(shape) == 5 and shape[1] == 1:
        pixels, shape = pixels[:, 0], (shape[0], *shape[2:])
    if shape is None or len(shape) != 4:
        raise _no_grid(lmm, f"its pixel_values are {'missing' if shape is None else f'of shape {shape}'}")
    if shape[0] != 1:
        raise _no_grid(lmm, f"the image is cut in {shape[0]} tiles")
    return pixels.float().cpu()


def _rows_and_columns(lmm: "LMM", n: int, height: int, width: int) -> tuple[int, int]:
    vision = getattr(lmm.model.config, "vision_config", None)
    patch = getattr(vision, "patch_size", None)
    if isinstance(patch, int) and height % patch == 0 and width % patch == 0:
        patches = (height // patch, width // patch)
        # Neighbouring patches may be merged, pooled or shuffled into one token.
        merged = math.isqrt(max(1, math.prod(patches) // n))
        rows, columns = patches[0] // merged, patches[1] // merged
    else:
        rows = columns = math.isqrt(n)
        if height != width:
            raise _no_grid(lmm, f"it reads {height} x {width} pixels in {n} tokens")
    if rows * columns != n:
        raise _no_grid(lmm, f"{n} visual tokens of {height} x {width} pixels are no grid of equal cells")
    return rows, columns


def _box(lmm: "LMM", size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    places = np.zeros((height, width, 3), np.uint8)
    places[..., 0] = np.rint(255 * (np.arange(width) + 0.5) / width)
    places[..., 1] = np.rint(255 * (np.arange(height) + 0.5) / height)[:, None]
    seen, dark, light = (
        _pixels(lmm, lmm.inputs([picture])).numpy()[0]
        for picture in (Image.fromarray(places), Image.new("RGB", size), Image.new("RGB", size, (255, 255, 255)))
    )
    # What is the same in a black and in a white picture is padding.
    visible = np.abs(light - dark).min(axis=0) > 1e-3
    if not visible.any():
        raise _no_grid(lmm, "its processor shows it nothing of the image")
    shown = (seen - dark) / np.where(visible, light - dark, 1)
    left, right = _ends(lmm, shown[0], visible)
    top, bottom = _ends(lmm, shown[1].T, visible.T)
    return left, top, right, bottom


def _ends(lmm: "LMM", places: np.ndarray, visible: np.ndarray) -> tuple[float, float]:
    """Where the first pixel of a row begins and the last one ends, given in which place of the image each shows."""
    seen = np.flatnonzero(visible.any(axis=0))
    measured = np.array([np.median(places[visible[:, i], i]) for i in seen])
    # Scaling blurs, which at the image's edges bends what is straight.
    inner = slice(len(seen) // 8, len(seen) - len(seen) // 8)
    scale, shift = np.polyfit(seen[inner] + 0.5, measured[inner], 1) if len(seen) > 2 else (1 / len(seen), 0.0)
    if scale <= 0 or np.abs(scale * (seen[inner] + 0.5) + shift - measured[inner]).max() > _STRAIGHT:
        raise _no_grid(lmm, "its processor does more than to scale, crop and pad the image")
    return float(shift), float(shift + scale * places.shape[1])


def _cells(start: float, stop: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a side of the image, in cells like those of ``n`` tokens from ``start`` to ``stop``: the token of each cell,
    and whether there is one."""
    side = (stop - start) / n
    cells = max(1, round(1 / side))
    tokens = np.floor(((np.arange(cells) + 0.5) / cells - start) / side).astype(int)
    return np.clip(tokens, 0, n - 1), (tokens >= 0) & (tokens < n)
