"""The logit lens: directions of the residual stream -> tokens and words of the vocabulary."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from coxlmm import _core
from coxlmm.grounding.filters import PublishedFilter, WordFilter
from coxlmm.grounding.spelling import Spelt, TokenWords

if TYPE_CHECKING:
    from coxlmm.models import LMM

Scored = list[tuple[Spelt, float]]


class Lens:
    """A model's final norm and ``W_U``, and what its tokens are as words.

    Parameters
    ----------
    lmm : LMM
    accept : WordFilter or PublishedFilter
    captions : iterable of str
        See :class:`coxlmm.grounding.spelling.TokenWords`.
    normalized : bool
        Whether vectors are in the space behind the final norm.
    """

    def __init__(
        self,
        lmm: "LMM",
        accept: WordFilter | PublishedFilter | None = None,
        captions: Iterable[str] = (),
        normalized: bool = False,
    ) -> None:
        self._lmm, self._normalized = lmm, normalized
        accept = accept or WordFilter()
        self._word_of, self._limit = TokenWords(lmm, accept, captions), accept.n_tokens
        # Read in the model's precision: in float32 it can be 2 GB more.
        self._unembedding = lmm.architecture.unembedding()

    def directions(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of the residual stream, n x n_features, as ``W_U`` takes them."""
        return np.asarray(vectors, dtype=np.float32) if self._normalized else self._lmm.normalize(vectors)

    def tokens(self, directions: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Of every direction the ``n`` tokens of largest logit and these logits, both n_directions x n."""
        return _core.ground_text(directions, self._unembedding, min(n, len(self._unembedding)))

    def words(
        self,
        directions: np.ndarray,
        n: int,
        only: Sequence[Collection[str]] | None = None,
        without: Collection[str] = (),
    ) -> list[Scored]:
        """Of every direction the ``n`` words of largest logit, or as many as there are, best first.

        ``only`` are the keys that count, for every direction its own; ``without`` those that count for none.
        """
        vocabulary = len(self._unembedding)
        top = min(vocabulary, self._limit or max(64, 16 * n))
        found: list[Scored] = [[] for _ in directions]
        pending = list(range(len(directions)))
        while pending:
            tokens, scores = self.tokens(directions[pending], top)
            for i, row, values in zip(pending, tokens.tolist(), scores.tolist(), strict=True):
                found[i] = list(self._merged(row, values, n, None if only is None else only[i], without))
            if top == vocabulary or self._limit:
                break
            pending = [i for i in pending if len(found[i]) < n]
            top = min(vocabulary, 8 * top)
        return found

    def _merged(
        self, tokens: list[int], scores: list[float], n: int, only: Collection[str] | None, without: Collection[str]
    ) -> Iterator[tuple[Spelt, float]]:
        seen: set[str] = set()
        for token, score in zip(tokens, scores, strict=True):
            word = self._word_of(token)
            if word is None or word.key in seen or word.key in without or (only is not None and word.key not in only):
                continue
            seen.add(word.key)
            yield word, score
            if len(seen) == n:
                return
