"""Concepts -> the words they decode to and the images that activate them most."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import regex
from PIL import Image

from coxlmm import _core
from coxlmm.images import open_image
from coxlmm.samples import as_samples
from coxlmm.words import UNSPACED

if TYPE_CHECKING:
    from coxlmm.models import LMM

ImageSource = Mapping[str, Any] | Sequence[Any] | Iterable[Any] | Callable[[str], Any] | str | os.PathLike[str] | None
THUMBNAIL_SIDE = 160  # pixels
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
# There one character may be a word, and no token begins with a space.
_UNSPACED_WORD = regex.compile(rf"[{UNSPACED}][{UNSPACED}\p{{M}}]*")
_SPACE_MARKS = ("Ġ", "▁", " ")


class Word(NamedTuple):
    """A word that a concept decodes to.

    ``score`` is the inner product of the concept vector, after the model's final norm, with the word's row of ``W_U``:
    the logit that the concept alone would give the word.
    """

    text: str
    score: float


@dataclass(frozen=True)
class ImageHit:
    """One of the samples that activate a concept most.

    Attributes
    ----------
    sample_id : str
    activation : float, positive
    caption : str
        What the model wrote about it.
    thumbnail : bytes or None
        The image as WebP, at most 160 pixels a side, where the image was given.
    """

    sample_id: str
    activation: float
    caption: str
    thumbnail: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class WordFilter:
    """Which tokens of a vocabulary are words worth showing.

    A token counts if its text, stripped, consists of letters (with the marks that belong to them) of any script.

    Parameters
    ----------
    min_length : int, default 2
        Shortest word in characters. Scripts written without spaces are exempt: one ideograph is a word.
    whole_words : bool, default True
        In vocabularies that mark the space before a token, keep only tokens that begin a word: without the mark a token
        is the rest of a word ("ing"). Scripts written without spaces are exempt.
    stop_words : "english" or iterable of str
        Words to leave out, whatever their case; "english" is scikit-learn's list.
    """

    min_length: int = 2
    whole_words: bool = True
    stop_words: Literal["english"] | Iterable[str] = ()

    def __post_init__(self) -> None:
        if self.min_length < 1:
            raise ValueError(f"min_length must be at least 1, got {self.min_length}")
        words = self.stop_words
        if isinstance(words, str):
            if words != "english":
                raise ValueError(f"stop_words must be 'english' or a collection of words, got the string {words!r}")
            from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS as words
        object.__setattr__(self, "stop_words", frozenset(word.casefold() for word in words))

    def __call__(self, text: str | None, begins_word: bool) -> str | None:
        """The word that a token's ``text`` is, or None."""
        word = (text or "").strip()
        if not _WORD.fullmatch(word) or word.casefold() in self.stop_words:
            return None
        if _UNSPACED_WORD.fullmatch(word):
            return word
        return word if len(word) >= self.min_length and (begins_word or not self.whole_words) else None


def ground_words(
    components: np.ndarray,
    lmm: "LMM",
    n_words: int = 10,
    word_filter: WordFilter | None = None,
    *,
    normalized: bool = False,
) -> list[list[Word]]:
    """The words that concept vectors decode to: the logit lens.

    The model's final norm is applied to every concept vector, once, and the result multiplied with ``W_U``. Tokens that
    are no words are left out; tokens that differ only in case or in the space before them are one word, which has the
    spelling and score of the best of them. An RMS norm makes the result independent of the vector's length; a layer
    norm with a bias or a mean is applied to the vector itself all the same, as if it were a state.

    Parameters
    ----------
    components : ndarray, n_components x n_features
        Directions in the space of states before the final norm.
    lmm : LMM
    n_words : int
        Words for each concept; fewer where the vocabulary has no more.
    word_filter : WordFilter, optional
    normalized : bool, default False
        Whether the components are in the space behind the final norm: then it is not applied.

    Returns
    -------
    list of lists of Word, n_components
        Best first.

    Raises
    ------
    ValueError
        If ``n_words`` is less than 1, or the components do not have the model's number of features.
    """
    if n_words < 1:
        raise ValueError(f"n_words must be at least 1, got {n_words}")
    accept = word_filter or WordFilter()
    unembedding = lmm.architecture.unembedding()  # read in the model's precision: in float32 it can be 2 GB more
    directions = np.asarray(components, dtype=np.float32) if normalized else lmm.normalize(components)
    vocabulary = len(unembedding)
    word_of = _word_of_token(lmm, accept)
    top = min(vocabulary, max(64, 16 * n_words))
    while True:
        tokens, scores = _core.ground_text(directions, unembedding, top)
        found = [list(_merged(row, values, word_of, n_words)) for row, values in zip(tokens, scores, strict=True)]
        if top == vocabulary or all(len(words) == n_words for words in found):
            return found
        top = min(vocabulary, 8 * top)


def _word_of_token(lmm: "LMM", accept: WordFilter) -> Callable[[int], str | None]:
    tokenizer = lmm.tokenizer
    # Vocabularies without such a mark (WordPiece) mark the continuations instead, and those are no letters.
    marks_spaces = any(token.startswith(_SPACE_MARKS) for token in tokenizer.get_vocab() if len(token) > 1)

    @cache
    def word_of(token: int) -> str | None:
        spelling = tokenizer.convert_ids_to_tokens(token)
        # Rows beyond the vocabulary pad W_U to a round number.
        if spelling is None:
            return None
        begins_word = not marks_spaces or spelling.startswith(_SPACE_MARKS)
        return accept(lmm.decode_token(token), begins_word)

    return word_of


def _merged(tokens: np.ndarray, scores: np.ndarray, word_of: Callable[[int], str | None], n: int) -> Iterator[Word]:
    seen: set[str] = set()
    for token, score in zip(tokens.tolist(), scores.tolist(), strict=True):
        word = word_of(token)
        if word is None or word.casefold() in seen:
            continue
        seen.add(word.casefold())
        yield Word(word, score)
        if len(seen) == n:
            return


def ground_images(
    codes: np.ndarray,
    sample_ids: Sequence[str],
    captions: Sequence[str],
    n_images: int = 8,
    images: ImageSource = None,
) -> list[list[ImageHit]]:
    """The samples that activate each concept most, with their images where these can be had.

    Parameters
    ----------
    codes : ndarray, n_samples x n_components
    sample_ids, captions : sequences of str, n_samples
    n_images : int
        Samples for each concept; fewer where fewer activate it at all.
    images : mapping, callable, sequence, iterable of samples, directory, or None
        Where the images are: a mapping or a callable from sample id to image; the sequence that the states were
        extracted from, when sample ids are the default ones (paths, or positions in it); the source of samples that
        they were extracted from (:mod:`coxlmm.samples`), which is gone through once; the directory in which sample
        ids are files. Paths that have moved are found by the file's name, when no two samples share it. Images are
        whatever :func:`coxlmm.images.open_image` opens. None: the sample ids that are paths of files are opened, others
        have no image.

    Returns
    -------
    list of lists of ImageHit, n_components
        Most activating first, ties in the order of samples.

    Raises
    ------
    ValueError
        If ``n_images`` is less than 1, or an image cannot be read or is missing in ``images``.
    """
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1, got {n_images}")
    indices, activations = _core.max_activating(codes, min(n_images, len(codes)))
    find = _finder(images, sample_ids, {sample_ids[i] for i in indices[activations > 0]})

    @cache
    def thumbnail_of(sample: int) -> bytes | None:
        image = find(sample_ids[sample])
        return None if image is None else thumbnail(image)

    return [
        [
            ImageHit(sample_ids[i], activation, captions[i], thumbnail_of(i))
            for i, activation in zip(row, values, strict=True)
            if activation > 0
        ]
        for row, values in zip(indices.tolist(), activations.tolist(), strict=True)
    ]


def thumbnail(image: Any, side: int = THUMBNAIL_SIDE) -> bytes:
    """An image, of any kind that :func:`coxlmm.images.open_image` takes, as WebP of at most ``side`` pixels a side."""
    picture = open_image(image, 0)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, method=4)
    return buffer.getvalue()


def _finder(images: ImageSource, sample_ids: Sequence[str], wanted: set[str]) -> Callable[[str], Any]:
    if images is None:
        return lambda sample_id: sample_id if _is_file(sample_id) else None
    if isinstance(images, (str, os.PathLike)):
        directory = Path(images)
        if not directory.is_dir():
            raise ValueError(f"images must be found in a directory, and {str(directory)!r} is none")
        own = _own_names(sample_ids)

        def in_directory(sample_id: str) -> Path:
            path = directory / sample_id
            if not _is_file(path) and PurePath(sample_id).name in own:
                path = directory / PurePath(sample_id).name
            return _named(sample_id, path, _is_file(path), directory)

        return in_directory
    if isinstance(images, Mapping):
        return lambda sample_id: _named(sample_id, images.get(sample_id), sample_id in images, "the mapping")
    if callable(images):
        return images
    if not hasattr(images, "__getitem__"):
        # Gone through once, and no further than needed: it may be long, and is not held.
        passing = (sample for sample in as_samples(images) if sample.id in wanted)
        found = {sample.id: sample.image for sample in islice(passing, len(wanted))}
        return lambda sample_id: _named(sample_id, found.get(sample_id), sample_id in found, "the samples")
    return _in_sequence(images, sample_ids)


def _in_sequence(images: Sequence[Any], sample_ids: Sequence[str]) -> Callable[[str], Any]:
    n = len(images)
    # Only paths are looked through: to go through a sequence of anything else might open every image.
    paths = [os.fspath(image) for image in images] if n and isinstance(images[0], (str, os.PathLike)) else []
    own, names = _own_names(sample_ids), _own_names(paths)
    by_path = {path: path for path in paths}
    by_name = {PurePath(path).name: path for path in paths if PurePath(path).name in names}

    def at_position_or_path(sample_id: str) -> Any:
        if sample_id in by_path:
            return by_path[sample_id]
        if sample_id.isdecimal() and int(sample_id) < n:
            return images[int(sample_id)]
        name = PurePath(sample_id).name
        if name in own and name in by_name:
            return by_name[name]
        raise ValueError(
            f"images is a sequence of {n}, so sample ids must be positions in it or paths that it holds, but one is "
            f"{sample_id!r}: give a mapping or a callable from sample id to image"
        )

    return at_position_or_path


def _own_names(paths: Iterable[str]) -> set[str]:
    """The names of files that only one of ``paths`` has."""
    return {name for name, count in Counter(PurePath(path).name for path in paths).items() if count == 1}


def _named(sample_id: str, image: Any, present: bool, where: Any) -> Any:
    if not present:
        raise ValueError(f"there is no image of sample {sample_id!r} in {where}")
    return image


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or with a null character: a caption, not a path
        return False
