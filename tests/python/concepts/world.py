"""What the tests of concepts share."""

import numpy as np
from PIL import Image

PROMPT = "<image>"
# The state that predicts "dog" is the embedding of the word before it, so there are three of them.
SENTENCES = [
    "a red dog",
    "two red dog",
    "one blue dog",
    "my blue dog",
    "this hot dog",
    "some hot dog",
    "the tabby cat",
]
ANIMALS = ["cat", "owl", "hen", "ox"]


def noise_image(seed: int, side: int = 160) -> Image.Image:
    """The picture that compresses worst."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))
