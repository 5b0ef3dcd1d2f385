"""What concepts mean: the words they decode to and the images that activate them most."""

from coxlmm.grounding.images import ImageHit, ImageSource, ground_images, image_finder, thumbnail
from coxlmm.grounding.words import Word, WordFilter, ground_words

__all__ = [
    "ImageHit",
    "ImageSource",
    "Word",
    "WordFilter",
    "ground_images",
    "ground_words",
    "image_finder",
    "thumbnail",
]
