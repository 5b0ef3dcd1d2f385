"""Concepts -> the words they decode to: the logit lens."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import regex

from coxlmm import _core
from coxlmm.words import UNSPACED

if TYPE_CHECKING:
    from coxlmm.models import LMM

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
