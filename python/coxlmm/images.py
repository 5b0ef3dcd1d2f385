"""Images as they are handed in: opened when their turn comes, as RGB, and named when they cannot be read."""

import io
import os
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from coxlmm.errors import CoxlmmError

if TYPE_CHECKING:
    from coxlmm.samples import Sample

# Pillow warns of images of half the size that it refuses, once for each, from whatever thread opens them. It is the
# last filter of all, so a filter of the user's comes first.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)

# Pillow decodes an image that was opened elsewhere on its first use, and two threads may hold the same one.
_DECODING = threading.Lock()

_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class UnreadableImageError(CoxlmmError, ValueError):
    """An image that cannot be read; ``reason`` says why, without the name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"cannot read {name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.name, self.reason)


def as_images(images: Iterable[Any]) -> Iterable[Any]:
    """``images``, refused when it is one image rather than several."""
    if hasattr(images, "column_names"):
        raise TypeError(
            f"images must be a sequence or an iterable of images, got the rows of a {type(images).__name__}: "
            f"say which column they are in with coxlmm.samples.HFDataset(dataset, image=...)"
        )
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


def open_image(image: Any, name: int | str) -> Image.Image:
    """An image as RGB, 8 bits a channel: what every processor takes.

    Parameters
    ----------
    image
        - A path, or the bytes of an encoded image, or ``{"bytes": ..., "path": ...}`` with one of them (undecoded
          images of ``datasets``).
        - A PIL image.
        - An array or a tensor: height x width, or with 1, 3 or 4 channels, last or first (first of all for tensors).
          Bytes; 16 bits; or numbers of another type from 0 to 1 (floats), to 255, or to 65535.
        - A callable that returns one of these. It may be called from another thread.
    name : int or str
        What errors call it: its position in the input, or its id.

    Returns
    -------
    PIL image
        Turned as its EXIF orientation says; the first frame of several; what is transparent laid on white; 16 bits a
        channel scaled to 8. Pixels of 32 bits and floats have no range of their own: the smallest of those above is
        taken that holds them, or, in a PIL image, their own range.

    Raises
    ------
    UnreadableImageError
        If it cannot be read, or has more pixels than Pillow decodes (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    path = _path_of(image)
    title = f"image {name}" if isinstance(name, int) else f"image {name!r}"
    if path is not None and path != name:
        title += f" ({path})"
    try:
        if callable(image):
            image = image()
            if callable(image):
                raise ValueError(f"calling it gives something to call, {type(image).__name__}, rather than an image")
        return _as_rgb(_decoded(image))
    except _UNREADABLE as error:
        raise UnreadableImageError(title, _reason(error)) from error


def image_size(image: Any) -> tuple[int, int] | None:
    """Width and height of what :func:`open_image` would return, without decoding it.

    None where that cannot be known so: for what cannot be read, and for callables. The orientation that a PNG states
    after its pixels is not seen.
    """
    if isinstance(image, Image.Image):
        return _upright_size(image)
    try:
        if (encoded := _encoded(image)) is not None:
            with _pillow_errors(), Image.open(encoded) as opened:
                return _upright_size(opened)
        if _is_array(image):
            height, width = _channels_last(image).shape[:2]
            return width, height
    except _UNREADABLE:
        pass
    return None


_BATCHES_AHEAD = 2


def opened(
    batches: Iterable[list["Sample"]], workers: int
) -> Iterator[list[tuple["Sample", Image.Image | UnreadableImageError]]]:
    """Batches of samples with their images open, in their order; an image that cannot be read is the error.

    While the caller works on a batch, the next two are opened in the background; no more is taken from ``batches``,
    which are iterated in the caller's thread, and nothing is held of a batch that was handed on.

    Parameters
    ----------
    batches : iterable of lists of Sample
    workers : int
        Number of threads; 0 opens each batch when it is asked for.

    Raises
    ------
    Exception
        Whatever else opening an image, or ``batches``, raises; the batches before it come first.
    """
    if workers < 0:
        raise ValueError(f"workers must be a number of threads, or 0 for none, got {workers}")
    if workers == 0:
        for batch in batches:
            yield [(sample, _open_sample(sample)) for sample in batch]
        return
    coming: Iterator[list[Sample]] = iter(batches)
    ahead: deque[list[tuple[Sample, Future[Image.Image | UnreadableImageError]]]] = deque()
    end: Exception | None = None
    pool = ThreadPoolExecutor(workers, "coxlmm-images")
    try:
        while True:
            while len(ahead) <= _BATCHES_AHEAD and end is None:
                try:
                    ahead.append([(sample, pool.submit(_open_sample, sample)) for sample in next(coming)])
                except Exception as error:
                    end = error
            if not ahead:
                break
            yield [(sample, image.result()) for sample, image in ahead.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)
    if not isinstance(end, StopIteration):
        raise end


def _open_sample(sample: "Sample") -> Image.Image | UnreadableImageError:
    try:
        return open_image(sample.image, sample.id)
    except UnreadableImageError as error:
        return UnreadableImageError(error.name, error.reason)  # the one caught holds the image, by its traceback


def _path_of(image: Any) -> str | None:
    if isinstance(image, dict):
        image = image.get("path")
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None


def _encoded(image: Any) -> str | os.PathLike[str] | io.BytesIO | None:
    """What Pillow opens, or None where there is nothing to decode."""
    if isinstance(image, dict):
        content = image.get("bytes")
        image = image.get("path") if content is None else content
        if image is None:
            raise ValueError('a dictionary must have the encoded image in "bytes", or its path in "path"')
    if isinstance(image, (bytes, bytearray, memoryview)):
        return io.BytesIO(image)
    return image if isinstance(image, (str, os.PathLike)) else None


def _decoded(image: Any) -> Image.Image:
    if (encoded := _encoded(image)) is not None:
        with _pillow_errors(), _open(encoded) as opened:
            opened.load()
            return _upright(opened)
    if isinstance(image, Image.Image):
        with _pillow_errors():
            with _DECODING:
                image.load()
            return _upright(image)
    if _is_array(image):
        return _from_array(image)
    raise ValueError("it is None" if image is None else f"{type(image).__name__} is no kind of image")


def _open(encoded: str | os.PathLike[str] | io.BytesIO) -> Image.Image:
    try:
        return Image.open(encoded)
    except UnidentifiedImageError as error:
        n_bytes = encoded.getbuffer().nbytes if isinstance(encoded, io.BytesIO) else os.path.getsize(encoded)
        raise ValueError("it is in no format that Pillow knows" if n_bytes else "it is empty") from error


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """What decoders raise for a broken file is of any kind; here it becomes a ValueError.

    Not what says nothing of the file: running out of memory.
    """
    try:
        yield
    except (*_UNREADABLE, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"{str(error).rstrip('.')}; shrink the image, or set PIL.Image.MAX_IMAGE_PIXELS (now "
            f"{Image.MAX_IMAGE_PIXELS}) higher where you trust it"
        )
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """A copy turned as its EXIF orientation says; as it is, where its EXIF data are broken."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # of any kind, like those of decoders
        return image.copy()


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Pillow gives the upright size of a TIFF. Asked for its EXIF data, a PNG without any before its pixels decodes them
    # to look behind.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return width, height
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # broken: see _upright
        turned = False
    return (height, width) if turned else (width, height)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_as_bytes(np.asarray(image), stretch=True)).convert("RGB")
    if image.mode == "La":  # which Pillow turns into nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_array(image: Any) -> bool:
    return hasattr(image, "__array__") and hasattr(image, "shape")


def _from_array(image: Any) -> Image.Image:
    image = _channels_last(image)
    if hasattr(image, "detach"):  # a tensor; numpy has no bfloat16
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    values = np.ascontiguousarray(_as_bytes(np.asarray(image), stretch=False))
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values)


def _channels_last(image: Any) -> Any:
    """A view of an array or a tensor as height x width, or height x width x channels."""
    shape = tuple(image.shape)
    places = (0, 2) if hasattr(image, "detach") else (2, 0)
    if len(shape) == 2:
        return image
    for place in places if len(shape) == 3 else ():
        if shape[place] in (1, 3, 4):
            return image if place == 2 else image.swapaxes(0, 1).swapaxes(1, 2)
    raise ValueError(
        f"an array must be height x width, or have 1, 3 or 4 channels first or last, got one of shape {shape}"
    )


def _as_bytes(values: np.ndarray, stretch: bool) -> np.ndarray:
    """Numbers as those from 0 to 255: see :func:`open_image`. ``stretch``: from their own range where none fits."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise ValueError(f"an array must be of numbers, got {values.dtype}")
    if values.size == 0:
        raise ValueError(f"it has no pixels: its shape is {values.shape}")
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("some of its pixels are not finite")
    if values.dtype.kind == "b":
        limit = 1.0
    elif values.dtype.itemsize == 2 and values.dtype.kind == "u":
        limit = 65535.0
    else:
        limits = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        limit = next((limit for limit in limits if low >= 0 and high <= limit), None)
    if limit is None:
        if not stretch:
            raise ValueError(
                f"its values are from {low:g} to {high:g}: give pixels, from 0 to 1 or to 255, and leave "
                f"normalising to the processor"
            )
        values, limit = values.astype(np.float64) - low, high - low or 1.0
    return np.rint(values.astype(np.float32) * np.float32(255.0 / limit)).astype(np.uint8)
