"""Pictures of the page: each is in it once, however often it is shown."""

import base64
import io

import numpy as np
from PIL import Image

# Dark where there is nothing, bright where there is most: lightness alone tells, whatever colours a reader can see. The
# colours of "inferno" (Smith & van der Walt, matplotlib), ever less opaque so that the picture shows where it matters.
_STOPS = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]])
_OPACITY = np.array([0.6, 0.55, 0.5, 0.45, 0.42, 0.4])


class Pictures:
    """Numbers of pictures, by content, and the styles that show them.

    A style sheet is what lets a picture be in the page once and be shown anywhere in it without a script.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number(self, webp: bytes) -> int:
        """The picture's number: elements of class ``p<number>`` show it."""
        return self._numbers.setdefault(webp, len(self._numbers))

    def add(self, *webps: bytes | None) -> None:
        """Numbers those that are there: only of what is numbered by then are there styles."""
        for webp in webps:
            if webp is not None:
                self.number(webp)

    @property
    def styles(self) -> str:
        """One rule a picture: its data, and its width over its height."""
        return "\n".join(
            f".p{number}{{background-image:url({data_uri(webp)});--aspect:{aspect(webp):.4g}}}"
            for webp, number in self._numbers.items()
        )


def data_uri(image: bytes, kind: str = "webp") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def heat_uri(heat: np.ndarray, scale: int = 1) -> str:
    """A heat map, rows x columns of 0 to 1, as a tiny picture with transparency: browsers smooth it in enlarging it.

    Readers of PDF do not: for paper it is made ``scale`` times larger here.
    """
    levels = np.linspace(0, 1, 256)
    stops = np.linspace(0, 1, len(_STOPS))
    palette = np.stack([np.interp(levels, stops, channel) for channel in _STOPS.T], axis=1).round().astype(np.uint8)
    opacity = (255 * np.interp(levels, stops, _OPACITY)).round().astype(np.uint8)
    picture = Image.fromarray((255 * np.clip(heat, 0, 1)).round().astype(np.uint8))
    if scale > 1:
        picture = picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.BILINEAR)
    picture = picture.convert("P")
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, transparency=opacity.tobytes())
    return data_uri(buffer.getvalue(), "png")


def aspect(webp: bytes) -> float:
    """A picture's width over its height."""
    with Image.open(io.BytesIO(webp)) as picture:
        return picture.width / picture.height
