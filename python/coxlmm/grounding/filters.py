"""Which pieces of a vocabulary are words worth showing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import log10
from typing import Any

import regex

from coxlmm.words import UNSPACED, distinct_words, require_options

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
# There one character may be a word, and no token begins with a space.
_UNSPACED_WORD = regex.compile(rf"[{UNSPACED}][{UNSPACED}\p{{M}}]*")


@dataclass(frozen=True)
class WordFilter:
    """Which tokens of a vocabulary are words worth showing, and which of them are one word.

    A token counts if its text, stripped, consists of letters (with the marks that belong to them) of any script.

    Parameters
    ----------
    min_length : int, default 2
        Shortest word in characters. Scripts written without spaces are exempt: one ideograph is a word.
    whole_words : bool, default True
        In vocabularies that mark the space before a token, keep only tokens that begin a word: without the mark a token
        is the rest of a word ("ing"). Scripts written without spaces are exempt.
    stop_words : "english", code of a language, or iterable of str
        Words to leave out, whatever their case; "english" is scikit-learn's list, "de", "fr", "zh", ... those of the
        package ``stop-words`` (extra ``coxlmm[words]``).
    languages : iterable of str
        Codes of ``wordfreq`` ("en", "de", "zh", ...; extra ``coxlmm[words]``): only words of one of these languages are
        kept. It is what tells a word from the beginning of one ("aneur"). Words that captions have are exempt.
        Chinese is looked up in simplified characters.
    min_zipf : float, default 3.0
        With ``languages``, how common a word must be in one of them: the base-10 logarithm of how often it occurs in a
        billion words. At 3, once in a million, wordfreq knows all of its languages; at 4 "doberman" is out.
    inflections : str, optional
        A language, as a code of ``simplemma`` (extra ``coxlmm[words]``): forms of one word ("dogs", "dog") are one,
        spelt as its dictionary form.

    Raises
    ------
    ValueError
        If ``min_length`` is less than 1, or a language is none that the package knows.
    ImportError
        If an option needs a package that is not installed.
    """

    min_length: int = 2
    whole_words: bool = True
    stop_words: str | Iterable[str] = ()
    languages: Iterable[str] = ()
    min_zipf: float = 3.0
    inflections: str | None = None
    _options: dict[str, Any] = field(init=False, repr=False, compare=False, hash=False)

    # How many of a concept's first tokens are looked at; None: as many as it takes.
    n_tokens = None

    def __post_init__(self) -> None:
        if self.min_length < 1:
            raise ValueError(f"min_length must be at least 1, got {self.min_length}")
        if isinstance(self.languages, str):
            raise ValueError(f"languages must be a collection of codes, got the string {self.languages!r}")
        require_options(self.inflections, None)
        stop_words = _stop_words(self.stop_words)
        named = self.stop_words if isinstance(self.stop_words, str) else sorted(stop_words)
        object.__setattr__(self, "stop_words", stop_words)
        object.__setattr__(self, "languages", tuple(self.languages))
        for language in self.languages:
            _frequencies(language)
        names = ("min_length", "whole_words", "languages", "min_zipf", "inflections")
        options = {name: getattr(self, name) for name in names} | {"stop_words": named}
        object.__setattr__(self, "_options", options | {"languages": list(self.languages)})

    def __call__(self, text: str | None, begins_word: bool) -> str | None:
        """The word that a token's ``text`` is, or None."""
        word = self.letters(text, begins_word)
        return None if word is None or not self.knows(word) else word

    def letters(self, text: str | None, begins_word: bool) -> str | None:
        """The same without a look at the languages."""
        word = (text or "").strip()
        if not _WORD.fullmatch(word) or word.casefold() in self.stop_words:
            return None
        if _UNSPACED_WORD.fullmatch(word):
            return word
        return word if len(word) >= self.min_length and (begins_word or not self.whole_words) else None

    def knows(self, word: str) -> bool:
        """Whether one of the languages has the word, as commonly as asked for; True where there are no languages."""
        return not self.languages or any(zipf_frequency(word, code) >= self.min_zipf for code in self.languages)

    def spelling(self, word: str) -> str:
        """How a word is shown: with ``inflections`` its dictionary form."""
        if self.inflections is None:
            return word
        pieces = distinct_words(word, self.inflections, "characters")
        return next(iter(pieces.values())) if len(pieces) == 1 else word

    def to_dict(self) -> dict[str, Any]:
        """Its options, as JSON values."""
        return dict(self._options)


@dataclass(frozen=True)
class PublishedFilter:
    """The words that the paper's published code keeps, for comparison.

    Of the 50 tokens of largest logit it keeps, in lower case and without the spaces around them, those that are in
    nltk's corpus ``words``, longer than two characters and not among its stop words, and whatever Python reads as a
    number. It knows no beginnings of words: the token "ing" of "barking" is a word here ("ing", a meadow). The corpus
    is Webster's Second International, of 1934, which has next to no plurals; it comes with the package
    ``english-words`` (extra ``coxlmm[words]``). nltk's copy adds the 850 words of Basic English, nearly all of them in
    Webster's.

    Two things differ here: a word that several tokens spell is listed once, and the model's final norm is applied
    before the output embedding, as everywhere in this package.

    Parameters
    ----------
    stop_words : "english", code of a language, or iterable of str
        The published code reads its own from a file, ``src/assets/gist_stopwords.txt`` of its repository, whose words
        are separated by commas: give them for the same words. "english" is scikit-learn's list.
    """

    stop_words: str | Iterable[str] = "english"
    _named: str | list[str] = field(init=False, repr=False, compare=False, hash=False)

    n_tokens = 50

    def __post_init__(self) -> None:
        stop_words = _stop_words(self.stop_words)
        object.__setattr__(self, "_named", self.stop_words if isinstance(self.stop_words, str) else sorted(stop_words))
        object.__setattr__(self, "stop_words", stop_words)
        _webster()

    def __call__(self, text: str | None, begins_word: bool) -> str | None:
        """The word that a token's ``text`` is, or None."""
        word = (text or "").lower().strip()
        known = word in _webster() and len(word) > 2 and word not in self.stop_words
        return word if known or _is_number(word) else None

    def spelling(self, word: str) -> str:
        """How a word is shown: as it is."""
        return word

    def to_dict(self) -> dict[str, Any]:
        """Its name and options, as JSON values."""
        return {"name": "published", "stop_words": self._named}


def zipf_frequency(word: str, language: str) -> float:
    """How common a word is: the base-10 logarithm of its occurrences in a billion words; 0 for one that is not known.

    wordfreq's own function of this name would cut a word that it does not know into shorter ones that it knows.
    """
    frequency = _frequencies(language).get(_looked_up(word, language), 0.0)
    return log10(frequency * 1e9) if frequency else 0.0


@lru_cache(maxsize=1 << 16)
def _looked_up(word: str, language: str) -> str:
    from langcodes import Language
    from wordfreq.preprocess import preprocess_text

    return preprocess_text(word, Language.get(language))


@cache
def _frequencies(language: str) -> dict[str, float]:
    try:
        import wordfreq
    except ImportError as error:
        raise ImportError(
            f"words of the language {language!r} need the package wordfreq: pip install 'coxlmm[words]'"
        ) from error
    try:
        return wordfreq.get_frequency_dict(language, "best")
    except LookupError as error:
        known = ", ".join(sorted(wordfreq.available_languages("best")))
        raise ValueError(f"languages must be among {known}, got {language!r}") from error


def _stop_words(words: str | Iterable[str]) -> frozenset[str]:
    if words == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS as words
    elif isinstance(words, str):
        try:
            import stop_words
        except ImportError as error:
            raise ImportError(
                f"stop_words={words!r} needs the package stop-words: pip install 'coxlmm[words]'"
            ) from error
        codes = stop_words.LANGUAGE_MAPPING
        if words not in codes:
            raise ValueError(
                f"stop_words must be 'english', one of {', '.join(sorted(codes))}, or a collection of words, got the "
                f"string {words!r}"
            )
        words = stop_words.get_stop_words(words)
    return frozenset(word.casefold() for word in words)


@cache
def _webster() -> frozenset[str]:
    try:
        from english_words import get_english_words_set
    except ImportError as error:
        raise ImportError(
            "the published word filter needs the package english-words: pip install 'coxlmm[words]'"
        ) from error
    return frozenset(get_english_words_set(["web2"]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
