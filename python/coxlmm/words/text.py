"""Text as words: where they begin and end, and which spellings are the same word."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, Literal, NamedTuple, get_args

import regex

Segmentation = Literal["icu", "characters"]

# What continues a word: letters, the marks that combine with them (re's \w leaves these out, and with them most of
# Devanagari's vowels), digits and connectors. An apostrophe or a hyphen ends a word: "dog's", "dog-house" hold "dog".
_CONTINUES_WORD = r"[\p{L}\p{M}\p{N}\p{Pc}]"
# Scripts written without spaces: those where Unicode's line breaking calls for a dictionary (Thai, Lao, Khmer, Burmese
# and a few more), Chinese and Japanese. The script extensions bring the marks that kana share, such as the long vowel.
UNSPACED = r"\p{Line_Break=Complex_Context}\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}"
_UNSPACED_LETTER = rf"[{_CONTINUES_WORD}&&[{UNSPACED}]]"
_SPACED_LETTER = rf"[{_CONTINUES_WORD}--[{UNSPACED}]]"
# \X is a grapheme, what a reader takes for one character: no word begins or ends inside of one.
_PIECE = regex.compile(
    rf"(?P<word>(?:(?={_SPACED_LETTER})\X)+)|(?P<unspaced>(?:(?={_UNSPACED_LETTER})\X)+)|(?P<space>\s+)|\X",
    regex.VERSION1,
)
_GRAPHEME = regex.compile(r"\X")


def has_unspaced(text: str) -> bool:
    """Whether a text has characters of scripts without spaces."""
    return any(piece.lastgroup == "unspaced" for piece in _PIECE.finditer(text))


class Piece(NamedTuple):
    """A word, white space, or any other single grapheme of a text."""

    start: int
    stop: int
    kind: str | None  # "word" (of a script with spaces), "unspaced" (a word of one without), "space"


@lru_cache(maxsize=256)
def pieces_of(text: str, segmentation: Segmentation) -> tuple[Piece, ...]:
    """All of ``text``, in order. Cached: several words are looked for in the same captions."""
    pieces = []
    for match in _PIECE.finditer(text):
        if match.lastgroup != "unspaced":
            pieces.append(Piece(*match.span(), match.lastgroup))
            continue
        start = match.start()
        for segment in _segments(match.group(), segmentation):
            pieces.append(Piece(start, start + len(segment), "unspaced"))
            start += len(segment)
    return tuple(pieces)


def _segments(run: str, segmentation: Segmentation) -> Iterator[str]:
    """The words of a run of characters of scripts without spaces."""
    graphemes = _GRAPHEME.findall(run)
    if segmentation == "characters":
        yield from graphemes
        return
    # Dictionaries have composed characters.
    composed = [unicodedata.normalize("NFC", grapheme) for grapheme in graphemes]
    # The breaker's own offsets (icu4py 1.2) count UTF-16, so the lengths of its strings are taken.
    segments = _require_icu().WordBreaker("".join(composed), "und")
    ends = set(accumulate(len(segment) for segment in segments))
    segment, length = "", 0
    for grapheme, letters in zip(graphemes, composed, strict=True):
        segment += grapheme
        length += len(letters)
        if length in ends:
            yield segment
            segment = ""


class Comparable(NamedTuple):
    """A text in which what is to compare equal is equal.

    Attributes
    ----------
    keys : str
        The folded pieces, one after another.
    starts, stops : dict
        From where in ``keys`` a piece begins or ends to where that is in the text.
    """

    keys: str
    starts: dict[int, int]
    stops: dict[int, int]

    def find(self, needle: str) -> tuple[int, int] | None:
        """Characters of the text that fold to ``needle``, from the boundary of a piece to another one."""
        at = self.keys.find(needle)
        while at >= 0:
            if at in self.starts and at + len(needle) in self.stops:
                return self.starts[at], self.stops[at + len(needle)]
            at = self.keys.find(needle, at + 1)
        return None


@lru_cache(maxsize=256)
def comparable(
    text: str, case_sensitive: bool, inflections: str | None, segmentation: Segmentation | None
) -> Comparable:
    keys = []
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    length = 0
    # A word that needs no segmentation is beside its script's boundary whatever the others are cut into.
    for start, stop, kind in pieces_of(text, segmentation or "characters"):
        key = " " if kind == "space" else fold(_spelling(text[start:stop], kind, inflections), case_sensitive)
        keys.append(key)
        starts[length] = start
        length += len(key)
        stops[length] = stop
    return Comparable("".join(keys), starts, stops)


_ONE_LETTER = str.maketrans({"\N{VARIATION SELECTOR-15}": None, "\N{VARIATION SELECTOR-16}": None})


def fold(text: str, case_sensitive: bool = False) -> str:
    """The same string for all spellings of a word that are to compare equal."""
    text = unicodedata.normalize("NFKC", text).translate(_ONE_LETTER)
    if case_sensitive:
        return text
    # Which capital belongs to which small i depends on the language (Turkish has ı I and i İ): they are all one letter.
    folded = unicodedata.normalize("NFKC", text.casefold())
    return folded.replace("i\N{COMBINING DOT ABOVE}", "i").replace("ı", "i")


def _spelling(piece: str, kind: str | None, inflections: str | None) -> str:
    return _lemma(piece, inflections) if inflections and kind == "word" else piece


def _lemma(word: str, language: str) -> str:
    """The dictionary form, with the capitals of ``word``: dictionaries write names, and German nouns, with one."""
    import simplemma

    small = word.replace("İ", "i").replace("I", "ı") if language == "tr" else word
    lemma = simplemma.lemmatize(unicodedata.normalize("NFKC", small), language)
    if len(word) > 1 and word.isupper():
        return lemma.upper()
    return (lemma[:1].upper() if word[:1].isupper() else lemma[:1].lower()) + lemma[1:]


def distinct_words(
    text: str, inflections: str | None = None, segmentation: Segmentation | None = None
) -> dict[str, str]:
    """The distinct words of ``text``: the spelling of each, with ``inflections`` of its dictionary form, by its fold.

    Options are those of :class:`coxlmm.words.WordMatcher`.
    """
    words: dict[str, str] = {}
    for start, stop, kind in pieces_of(text, segmentation or default_segmentation()):
        if kind in ("word", "unspaced"):
            spelling = _spelling(text[start:stop], kind, inflections)
            words.setdefault(fold(spelling), spelling)
    return words


def words_of(text: str) -> set[str]:
    """The distinct words of ``text``, without case."""
    return {spelling.casefold() for spelling in distinct_words(text).values()}


def require_options(inflections: str | None, segmentation: str | None) -> None:
    """Raises what :class:`coxlmm.words.WordMatcher` does where these are not to be had."""
    if inflections is not None:
        _require_language(inflections)
    if segmentation is not None and segmentation not in get_args(Segmentation):
        raise ValueError(f"segmentation must be one of {', '.join(get_args(Segmentation))}, got {segmentation!r}")
    if segmentation == "icu":
        _require_icu()


@lru_cache(maxsize=64)
def _require_language(language: str) -> None:
    try:
        from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES
    except ImportError as error:
        raise ImportError(
            f"inflections={language!r} needs the package simplemma: pip install 'coxlmm[words]'"
        ) from error
    if language not in SUPPORTED_LANGUAGES:
        raise ValueError(f"inflections must be one of {', '.join(sorted(SUPPORTED_LANGUAGES))}, got {language!r}")


@lru_cache(maxsize=1)
def default_segmentation() -> Segmentation:
    """How words are found in scripts without spaces where nothing else is asked for."""
    return "icu" if find_spec("icu4py") else "characters"


def _require_icu() -> Any:
    try:
        from icu4py import breakers
    except ImportError as error:
        raise ImportError(
            "segmentation='icu' needs the package icu4py, on Python 3.11 or newer: pip install 'coxlmm[words]'"
        ) from error
    return breakers
