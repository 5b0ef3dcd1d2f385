"""Where a word is in a generated sequence.

A word of interest is matched as a *word*, on decoded text, never as a token: tokenizers cut words in odd places, so the
first token of "category" may well be the token "cat". Each generated token is given the characters it contributes to
the decoded text, the word is looked for in that text between word boundaries, and the tokens under the match are its
span. Nothing is tokenized a second time: a model is free to spell a word with other tokens than its tokenizer would.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
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


class TokenSpan(NamedTuple):
    """A half-open range ``[start, stop)`` of indices into the generated tokens."""

    start: int
    stop: int


@dataclass(frozen=True)
class WordMatcher:
    """Finds a word, or a phrase such as "hot dog", in text.

    A word begins and ends where a word of the text does, by Unicode's letters, marks and digits: "cat" is not in
    "category". An apostrophe or a hyphen is such a boundary ("dog's", "dog-house" hold "dog"), and so is a change
    between a script with spaces and one without ("一只dog在" holds "dog"). Composed and decomposed accents, full-width
    and other compatible forms (Unicode's NFKC) are one spelling. Korean particles are part of the word they follow.

    Parameters
    ----------
    word : str
        What to look for. White space inside a phrase matches any white space.
    case_sensitive : bool, default False
        Whether "Dog" is another word than "dog". If not, "ß" is "ss" and i with a dot is i without one.
    inflections : str, optional
        A language, as a code of ``simplemma`` ("en", "de", "tr", ...): whatever has the same dictionary form as the
        word then counts as the word: "dogs" and "dog", "mice" and "mouse", "running" and "run"; in a phrase word by
        word. Needs the extra ``coxlmm[words]``.
    segmentation : {"icu", "characters"}, optional
        What a word is in Chinese, Japanese, Thai, Lao, Khmer and Burmese, which put no spaces between words. "icu":
        what the dictionaries of ICU find in the text (extra ``coxlmm[words]``, Python 3.11 or newer): 狗 is in 一只狗
        and not in 狗熊, another animal. "characters": any characters, so that 狗 is in 狗熊. Default: "icu" where it
        is installed. A word without such characters needs none, and has None here.

    Raises
    ------
    ValueError
        If the word is blank, ``inflections`` is no language that simplemma knows, or ``segmentation`` is none of these.
    ImportError
        If an option needs a package that is not installed.
    """

    word: str
    case_sensitive: bool = False
    inflections: str | None = None
    segmentation: Segmentation | None = None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "WordMatcher":
        """The one that states were matched with, by the manifest that came with them."""
        return cls(
            manifest["word"],
            bool(manifest.get("case_sensitive")),
            manifest.get("inflections"),
            manifest.get("segmentation"),
        )

    def __post_init__(self) -> None:
        if not isinstance(self.word, str) or not self.word.strip():
            raise ValueError(f"the word to look for must be a non-blank string, got {self.word!r}")
        require_options(self.inflections, self.segmentation)
        needed = any(piece.lastgroup == "unspaced" for piece in _PIECE.finditer(self.word))
        chosen = (self.segmentation or default_segmentation()) if needed else None
        object.__setattr__(self, "segmentation", chosen)

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions whose dictionaries have a say in what is found."""
        return ("simplemma",) * (self.inflections is not None) + ("icu4py",) * (self.segmentation == "icu")

    @cached_property
    def _needles(self) -> list[tuple[str | None, str]]:
        """What to look for in texts of dictionary forms of a language; in texts as they are for the language None."""
        word = self.word.strip()
        plain = self._comparable(word, None).keys
        if self.inflections is None:
            return [(None, plain)]
        # A dictionary form may have another one itself ("saw" is of "see"), and still is the one of "saws".
        lemmas = {plain, self._comparable(word, self.inflections).keys}
        return [(None, plain), *((self.inflections, needle) for needle in sorted(lemmas))]

    def _comparable(self, text: str, inflections: str | None) -> "_Comparable":
        return _comparable(text, self.case_sensitive, inflections, self.segmentation)

    def find(self, text: str) -> tuple[int, int] | None:
        """The characters ``[start, stop)`` of the first occurrence in ``text``, or None."""
        found = [
            characters
            for inflections, needle in self._needles
            if (characters := self._comparable(text, inflections).find(needle)) is not None
        ]
        return min(found, default=None)

    def find_tokens(self, generated: "DecodedTokens") -> TokenSpan | None:
        """The tokens that spell the first occurrence of the word, or None.

        A token belongs to the word if it contributes at least one of its characters, so a token that also carries the
        space before the word, or the full stop after it, counts. The beginning of the generated text counts as a word
        boundary: end a prompt with a whole word.
        """
        characters = self.find(generated.text)
        if characters is None:
            return None
        return generated.under(*characters)


class _Piece(NamedTuple):
    """A word, white space, or any other single grapheme of a text."""

    start: int
    stop: int
    kind: str | None  # "word" (of a script with spaces), "unspaced" (a word of one without), "space"


@lru_cache(maxsize=256)
def _pieces(text: str, segmentation: Segmentation) -> tuple[_Piece, ...]:
    """All of ``text``, in order. Cached: several words are looked for in the same captions."""
    pieces = []
    for match in _PIECE.finditer(text):
        if match.lastgroup != "unspaced":
            pieces.append(_Piece(*match.span(), match.lastgroup))
            continue
        start = match.start()
        for segment in _segments(match.group(), segmentation):
            pieces.append(_Piece(start, start + len(segment), "unspaced"))
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


class _Comparable(NamedTuple):
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
def _comparable(
    text: str, case_sensitive: bool, inflections: str | None, segmentation: Segmentation | None
) -> _Comparable:
    keys = []
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    length = 0
    # A word that needs no segmentation is beside its script's boundary whatever the others are cut into.
    for start, stop, kind in _pieces(text, segmentation or "characters"):
        key = " " if kind == "space" else fold(_spelling(text[start:stop], kind, inflections), case_sensitive)
        keys.append(key)
        starts[length] = start
        length += len(key)
        stops[length] = stop
    return _Comparable("".join(keys), starts, stops)


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


def require_options(inflections: str | None, segmentation: str | None) -> None:
    """Raises what :class:`WordMatcher` does where these are not to be had."""
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


class DecodedTokens:
    """A sequence of token ids, its text, and the characters that every token contributes.

    Parameters
    ----------
    ids : iterable of int
    decode : callable
        From a list of ids to text: the tokenizer's own ``decode``, without special tokens. Works for byte-level BPE,
        SentencePiece (with or without byte fallback) and WordPiece, because it asks no more of the decoder than that a
        longer prefix decodes to a longer text.

    Attributes
    ----------
    ids : tuple of int
    text : str
        All ids decoded together.
    """

    def __init__(self, ids: Iterable[int], decode: Callable[[list[int]], str]) -> None:
        self.ids = tuple(int(i) for i in ids)
        self._decode = decode
        self.text = decode(list(self.ids))
        self._spans: list[tuple[int, int]] = []
        self._settled = 0

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """For each token the characters ``[start, stop)`` of ``text`` that it contributes.

        Special tokens contribute none. A character spelt by several tokens (the bytes of "é" or of an emoji) belongs to
        every one of them, so spans may share a character; otherwise they follow one another.
        """
        self._extend(len(self.text) + 1)
        return tuple(self._spans)

    def under(self, start: int, stop: int) -> TokenSpan:
        """The tokens that contribute to the characters ``[start, stop)`` of ``text``, at least one of these."""
        self._extend(stop)
        under = [i for i, (a, b) in enumerate(self._spans) if a < stop and b > start]
        return TokenSpan(under[0], under[-1] + 1)

    def _extend(self, stop: int) -> None:
        """Spans of the tokens up to those of the character ``stop``.

        By decoding every prefix, which costs the square of the number of tokens: little beside generating them (12 ms
        for 256, 0.2 s for 1024), less still as it ends at the word and is only done for texts that have it.
        """
        while self._settled < stop and len(self._spans) < len(self.ids):
            count = len(self._spans) + 1
            prefix = self._decode(list(self.ids[:count])) if count < len(self.ids) else self.text
            agreed = max(self._settled, _common_prefix_length(prefix, self.text))
            # What a prefix decodes to beyond its agreement with the text is a character still waiting for its other
            # bytes (decoders show U+FFFD): this token has begun the next character of the text.
            begun = agreed < min(len(prefix), len(self.text))
            self._spans.append((self._settled, agreed + 1 if begun else agreed))
            self._settled = agreed


def _common_prefix_length(a: str, b: str) -> int:
    length = min(len(a), len(b))
    for i in range(length):
        if a[i] != b[i]:
            return i
    return length


def distinct_words(
    text: str, inflections: str | None = None, segmentation: Segmentation | None = None
) -> dict[str, str]:
    """The distinct words of ``text``: the spelling of each, with ``inflections`` of its dictionary form, by its fold.

    Options are those of :class:`WordMatcher`.
    """
    words: dict[str, str] = {}
    for start, stop, kind in _pieces(text, segmentation or default_segmentation()):
        if kind in ("word", "unspaced"):
            spelling = _spelling(text[start:stop], kind, inflections)
            words.setdefault(fold(spelling), spelling)
    return words


def words_of(text: str) -> set[str]:
    """The distinct words of ``text``, without case."""
    return {spelling.casefold() for spelling in distinct_words(text).values()}


class WordNotFoundError(ValueError):
    """The word of interest occurs nowhere it was looked for."""

    @classmethod
    def among(cls, matcher: WordMatcher, counts: Counter[str], where: str, n: int = 10) -> "WordNotFoundError":
        """Names the ``n`` most frequent words, of ``counts`` (texts that hold a word, by word), which do occur."""
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]
        found = ", ".join(f"{word} ({count})" for word, count in frequent)
        options = f"case_sensitive={matcher.case_sensitive}, inflections={matcher.inflections!r}"
        if matcher.segmentation:
            options += f", segmentation={matcher.segmentation!r}"
        return cls(
            f"the word {matcher.word!r} occurs in {where} ({options}); "
            + (f"the most frequent words there are {found}" if found else "there are no words at all")
        )
