"""Images as they are handed in: opened when their turn comes, named when they fail."""

import os
from collections.abc import Iterable
from typing import Any

from PIL import Image, ImageOps


def as_images(images: Iterable[Any]) -> Iterable[Any]:
    """``images``, refused when it is one image rather than several."""
    if isinstance(images, (str, bytes, bytearray, os.PathLike, dict)) or not isinstance(images, Iterable):
        raise TypeError(f"images must be a sequence or an iterable of images, got one {type(images).__name__}")
    if getattr(images, "ndim", None) in (2, 3):
        raise TypeError(
            f"images must be a sequence or an iterable of images, got an array of shape {tuple(images.shape)}, "
            f"which is one image: put it in a list"
        )
    return images


def sample_id(image: Any, index: int) -> str:
    """The path as it was given, the position in the input where the image is none."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else str(index)


def open_image(image: Any, index: int) -> Any:
    """An image ready for a processor.

    Paths are opened, turned as their EXIF orientation says, and their first frame taken; PIL images of any mode become
    RGB. Anything else (arrays, tensors) goes to the processor as it is.

    Raises
    ------
    ValueError
        If it cannot be read; the message names the file, or the position in the input.
    """
    name = f"image {index}" + (f" ({os.fspath(image)})" if isinstance(image, (str, os.PathLike)) else "")
    try:
        if isinstance(image, (str, os.PathLike)):
            with Image.open(image) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")
        if isinstance(image, Image.Image):
            return image if image.mode == "RGB" else image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read {name}: {error}") from error
    if image is None:
        raise ValueError(f"cannot read {name}: it is None")
    return image
