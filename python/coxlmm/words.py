"""Where a word is in a generated sequence.

A word of interest is matched as a *word*, on decoded text, never as a token: tokenizers cut words in odd places, so the
first token of "category" may well be the token "cat". Each generated token is given the characters it contributes to
the decoded text, the word is looked for in that text between word boundaries, and the tokens under the match are its
span. Nothing is tokenized a second time: a model is free to spell a word with other tokens than its tokenizer would.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import regex

# What continues a word: letters, the marks that combine with them (re's \w leaves these out, and with them most of
# Devanagari's vowels), digits and connectors. An apostrophe or a hyphen ends a word: "dog's", "dog-house" hold "dog".
_WORD_CHARACTER = r"[\p{L}\p{M}\p{N}\p{Pc}]"
_WORD = regex.compile(rf"{_WORD_CHARACTER}+")


class TokenSpan(NamedTuple):
    """A half-open range ``[start, stop)`` of indices into the generated tokens."""

    start: int
    stop: int


@dataclass(frozen=True)
class WordMatcher:
    """Finds a word, or a phrase such as "hot dog", in text.

    Parameters
    ----------
    word : str
        What to look for. White space inside a phrase matches any white space.
    case_sensitive : bool, default False
        Whether "Dog" is another word than "dog".
    plural : bool, default False
        Whether the regular English plural of the word (of a phrase: of its last word) counts as the word: "dogs",
        "boxes", "ponies", "leaves". Irregular plurals ("mice") do not; ask for them by name.

    Raises
    ------
    ValueError
        If the word is blank.
    """

    word: str
    case_sensitive: bool = False
    plural: bool = False

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "WordMatcher":
        """The one that states were matched with, by the manifest that came with them."""
        return cls(manifest["word"], bool(manifest.get("case_sensitive")), bool(manifest.get("plural")))

    def __post_init__(self) -> None:
        if not isinstance(self.word, str) or not self.word.strip():
            raise ValueError(f"the word to look for must be a non-blank string, got {self.word!r}")

    @cached_property
    def _pattern(self) -> "regex.Pattern[str]":
        forms = {self.word.strip()}
        if self.plural:
            forms |= {plural for form in forms for plural in _regular_plurals(form)}
        # The same word may be decoded composed or decomposed (é as one character or two).
        spellings = {unicodedata.normalize(n, form) for n in ("NFC", "NFD") for form in forms}
        alternatives = "|".join(
            r"\s+".join(regex.escape(part) for part in spelling.split()) for spelling in sorted(spellings)
        )
        flags = 0 if self.case_sensitive else regex.IGNORECASE | regex.FULLCASE
        return regex.compile(rf"(?<!{_WORD_CHARACTER})(?:{alternatives})(?!{_WORD_CHARACTER})", flags)

    def find(self, text: str) -> tuple[int, int] | None:
        """The characters ``[start, stop)`` of the first occurrence in ``text``, or None."""
        match = self._pattern.search(text)
        return match.span() if match else None

    def find_tokens(self, generated: "DecodedTokens") -> TokenSpan | None:
        """The tokens that spell the first occurrence of the word, or None.

        A token belongs to the word if it contributes at least one of its characters, so a token that also carries the
        space before the word, or the full stop after it, counts. The beginning of the generated text counts as a word
        boundary: end a prompt with a whole word.
        """
        characters = self.find(generated.text)
        if characters is None:
            return None
        start, stop = characters
        under = [i for i, (a, b) in enumerate(generated.spans) if a < stop and b > start]
        return TokenSpan(under[0], under[-1] + 1)


def _regular_plurals(word: str) -> set[str]:
    lower = word.lower()
    plurals = {word + "s"}
    if lower.endswith(("s", "x", "z", "ch", "sh", "o")):
        plurals.add(word + "es")
    if lower.endswith("y") and len(word) > 1 and lower[-2] not in "aeiou":
        plurals.add(word[:-1] + "ies")
    if lower.endswith("f"):
        plurals.add(word[:-1] + "ves")
    if lower.endswith("fe"):
        plurals.add(word[:-2] + "ves")
    return plurals


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

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """For each token the characters ``[start, stop)`` of ``text`` that it contributes.

        Special tokens contribute none. A character spelt by several tokens (the bytes of "é" or of an emoji) belongs to
        every one of them, so spans may share a character; otherwise they follow one another. Found by decoding every
        prefix, once and only when asked for: most captions do not hold the word.
        """
        spans = []
        settled = 0
        for count in range(1, len(self.ids) + 1):
            prefix = self._decode(list(self.ids[:count])) if count < len(self.ids) else self.text
            agreed = max(settled, _common_prefix_length(prefix, self.text))
            # What a prefix decodes to beyond its agreement with the text is a character still waiting for its other
            # bytes (decoders show U+FFFD): this token has begun the next character of the text.
            begun = agreed < min(len(prefix), len(self.text))
            spans.append((settled, agreed + 1 if begun else agreed))
            settled = agreed
        return tuple(spans)


def _common_prefix_length(a: str, b: str) -> int:
    length = min(len(a), len(b))
    for i in range(length):
        if a[i] != b[i]:
            return i
    return length


def words_of(text: str) -> set[str]:
    """The distinct words of ``text``, without case."""
    return {word.casefold() for word in _WORD.findall(text)}


class WordNotFoundError(ValueError):
    """The word of interest occurs nowhere it was looked for."""

    @classmethod
    def among(cls, matcher: WordMatcher, counts: Counter[str], where: str, n: int = 10) -> "WordNotFoundError":
        """Names the ``n`` most frequent words, of ``counts`` (texts that hold a word, by word), which do occur."""
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]
        found = ", ".join(f"{word} ({count})" for word, count in frequent)
        return cls(
            f"the word {matcher.word!r} occurs in {where} "
            f"(case_sensitive={matcher.case_sensitive}, plural={matcher.plural}); "
            + (f"the most frequent words there are {found}" if found else "there are no words at all")
        )
