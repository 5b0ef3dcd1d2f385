"""Images of which parts are covered."""

import numpy as np
from PIL import Image


def mean_color(image: Image.Image) -> tuple[int, int, int]:
    """The mean of an RGB image's pixels."""
    red, green, blue = np.asarray(image).reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    return red, green, blue


def covered(image: Image.Image, cells: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """An image with some parts in one colour.

    Parameters
    ----------
    image : PIL image, RGB
    cells : ndarray of bool, rows x columns
        Which cells of a grid over the whole image are covered.
    color : tuple of int
    """
    mask = Image.fromarray(cells.astype(np.uint8) * 255).resize(image.size, Image.Resampling.NEAREST)
    return Image.composite(Image.new("RGB", image.size, color), image, mask)
