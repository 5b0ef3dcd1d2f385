"""What concepts mean: the words they decode to and the images that activate them most."""

from coxlmm.grounding.filters import PublishedFilter, WordFilter
from coxlmm.grounding.images import ImageHit, ImageSource, ground_images, illustrate, image_finder, thumbnail
from coxlmm.grounding.words import (
    READABLE_RANK,
    Contrast,
    Presence,
    Word,
    WordChoice,
    as_filter,
    ground_words,
    rank_of_word,
    raw_words,
)

__all__ = [
    "READABLE_RANK",
    "Contrast",
    "ImageHit",
    "ImageSource",
    "Presence",
    "PublishedFilter",
    "Word",
    "WordChoice",
    "WordFilter",
    "as_filter",
    "ground_images",
    "ground_words",
    "illustrate",
    "image_finder",
    "rank_of_word",
    "raw_words",
    "thumbnail",
]
