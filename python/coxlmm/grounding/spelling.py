"""Tokens -> the words that they are, or begin."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from coxlmm.grounding.filters import PublishedFilter, WordFilter
from coxlmm.words import fold
from coxlmm.words.text import Piece, default_segmentation, pieces_of

if TYPE_CHECKING:
    from coxlmm.models import LMM

_SPACE_MARKS = ("Ġ", "▁", " ")


class Spelt(NamedTuple):
    """A word of a vocabulary: what it is told apart by, and how it is shown."""

    key: str
    text: str


class TokenWords:
    """The word that each token of a vocabulary is, or begins.

    A state predicts one token, and that may be the first of several that spell a word: the " do" of " doberman", the
    first byte of 狗. Which word it begins is taken from what the model said, and not guessed:

    - Where words of the captions begin with the token, it stands for the one that most captions have. So " do" is
      "doberman" where captions say that and not "do".
    - Otherwise it stands for itself where the filter takes it for a word.
    - Otherwise it is left out. What a language spells with a token is no evidence: of the words that begin with the
      " neckl" of SmolLM2's vocabulary, the most frequent one is "necklaces", for "necklace" has a token of its own.

    Parameters
    ----------
    lmm : LMM
        For its tokenizer.
    accept : WordFilter or PublishedFilter
    captions : iterable of str
        What the model said of the samples.
    """

    def __init__(self, lmm: "LMM", accept: WordFilter | PublishedFilter, captions: Iterable[str] = ()) -> None:
        self._lmm, self._accept = lmm, accept
        # The published filter looks at every token by itself.
        self._begun = {} if isinstance(accept, PublishedFilter) else words_begun(lmm, captions)
        self._found: dict[int, Spelt | None] = {}

    def __call__(self, token: int) -> Spelt | None:
        """What the token stands for, or None."""
        if token not in self._found:
            word = self._word(token)
            shown = None if word is None else self._accept.spelling(word)
            self._found[token] = None if shown is None else Spelt(fold(shown), shown)
        return self._found[token]

    def _word(self, token: int) -> str | None:
        spelling = self._lmm.tokenizer.convert_ids_to_tokens(token)
        # Rows beyond the vocabulary pad W_U to a round number.
        if spelling is None:
            return None
        accept, text = self._accept, self._lmm.decode_token(token)
        if token in self._begun:
            # Words that were said need no dictionary to be words.
            words = self._begun[token]
            return accept.letters(max(words, key=lambda word: (words[word], word)), True)
        begins_word = not self._marks_spaces or spelling.startswith(_SPACE_MARKS)
        return accept(text, begins_word)

    @cached_property
    def _marks_spaces(self) -> bool:
        """Vocabularies without such a mark (WordPiece) mark the continuations instead, and those are no letters."""
        return any(token.startswith(_SPACE_MARKS) for token in self._lmm.tokenizer.get_vocab() if len(token) > 1)


def words_begun(lmm: "LMM", captions: Iterable[str]) -> dict[int, Counter[str]]:
    """Of every token that begins a word of the captions, these words and the number of captions that have them.

    The first word of a caption is left out in scripts with spaces: without one before it, it is spelt as no other.
    """
    said: Counter[str] = Counter()
    spelt: dict[int, set[str]] = defaultdict(set)
    seen: set[str] = set()
    for caption, count in Counter(captions).items():
        words = _words(caption)
        said.update(dict.fromkeys({fold(caption[word.start : word.stop]) for word in words}, count))
        inside = {caption[word.start : word.stop] for word in words if _spelt_as_elsewhere(word)}
        if inside <= seen:
            continue
        seen |= inside
        decoded = lmm.decode_with_spans(lmm.tokenizer(caption, add_special_tokens=False)["input_ids"])
        for word in filter(_spelt_as_elsewhere, _words(decoded.text)):
            first = decoded.under(word.start, word.stop).start
            # The token may carry the space before the word, but no part of another word.
            if not decoded.text[decoded.spans[first][0] : word.start].strip():
                spelt[decoded.ids[first]].add(decoded.text[word.start : word.stop])
    return {token: Counter({word: said[fold(word)] for word in words}) for token, words in spelt.items()}


def _spelt_as_elsewhere(word: Piece) -> bool:
    return word.start > 0 or word.kind == "unspaced"


def _words(text: str) -> list[Piece]:
    return [piece for piece in pieces_of(text, default_segmentation()) if piece.kind in ("word", "unspaced")]
