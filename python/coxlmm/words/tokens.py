"""Generated tokens as text, and the characters that each of them contributes."""

from collections.abc import Callable, Iterable
from typing import NamedTuple


class TokenSpan(NamedTuple):
    """A half-open range ``[start, stop)`` of indices into the generated tokens."""

    start: int
    stop: int


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
