"""Whether a text has a word, and where."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from coxlmm.words.text import Comparable, Segmentation, comparable, default_segmentation, has_unspaced, require_options
from coxlmm.words.tokens import DecodedTokens, TokenSpan


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
    def of(cls, manifest: Mapping[str, Any]) -> "WordMatcher | FirstOf":
        """The one that states were matched with, by the manifest that came with them.

        Of states of several words together (:meth:`coxlmm.states.StatesGroup.together`) it finds whichever comes first.
        """
        word = manifest["word"]
        if isinstance(word, list):
            return FirstOf(tuple(cls.of({**manifest, "word": one}) for one in word))
        options = manifest.get("inflections"), manifest.get("segmentation")
        return cls(word, bool(manifest.get("case_sensitive")), *options)

    def __post_init__(self) -> None:
        if not isinstance(self.word, str) or not self.word.strip():
            raise ValueError(f"the word to look for must be a non-blank string, got {self.word!r}")
        require_options(self.inflections, self.segmentation)
        chosen = (self.segmentation or default_segmentation()) if has_unspaced(self.word) else None
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

    def _comparable(self, text: str, inflections: str | None) -> Comparable:
        return comparable(text, self.case_sensitive, inflections, self.segmentation)

    def find(self, text: str) -> tuple[int, int] | None:
        """The characters ``[start, stop)`` of the first occurrence in ``text``, or None."""
        found = [
            characters
            for inflections, needle in self._needles
            if (characters := self._comparable(text, inflections).find(needle)) is not None
        ]
        return min(found, default=None)

    def find_tokens(self, generated: DecodedTokens) -> TokenSpan | None:
        """The tokens that spell the first occurrence of the word, or None.

        A token belongs to the word if it contributes at least one of its characters, so a token that also carries the
        space before the word, or the full stop after it, counts. The beginning of the generated text counts as a word
        boundary: end a prompt with a whole word.
        """
        characters = self.find(generated.text)
        if characters is None:
            return None
        return generated.under(*characters)


@dataclass(frozen=True)
class FirstOf:
    """Finds, of several words, the one that comes first."""

    matchers: tuple[WordMatcher, ...]

    def find(self, text: str) -> tuple[int, int] | None:
        """The characters ``[start, stop)`` of the first occurrence of any of the words, or None."""
        found = (matcher.find(text) for matcher in self.matchers)
        return min((characters for characters in found if characters is not None), default=None)

    def find_tokens(self, generated: DecodedTokens) -> TokenSpan | None:
        """The tokens that spell it, or None: see :meth:`WordMatcher.find_tokens`."""
        characters = self.find(generated.text)
        return None if characters is None else generated.under(*characters)


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
