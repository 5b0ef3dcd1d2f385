"""Concepts -> the words they decode to: the logit lens."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from coxlmm.grounding.filters import PublishedFilter, WordFilter
from coxlmm.grounding.lens import Lens
from coxlmm.words import fold
from coxlmm.words.text import default_segmentation, pieces_of

if TYPE_CHECKING:
    from coxlmm.models import LMM

Contrast = Literal["shared", "mean", "none"]
WordChoice = WordFilter | PublishedFilter | Literal["published"] | None

# Words that count as plausible where a concept is active: the first of the model's vocabulary in such a state.
_PLAUSIBLE = 1000
# First words of concepts that are looked at for what they share. From 2 to 20 it makes no difference on the demo model.
_SHARED = 5
# Place up to which a mean state decodes to the word that it predicts. In the demo model it is the 1st to the 40th in
# the layers whose concepts decode to words that mean them, and the 700th or later in the others: benchmarks/README.md.
READABLE_RANK = 100


class Word(NamedTuple):
    """A word that a concept decodes to.

    ``score`` is the inner product of the concept vector, after the model's final norm, with the row of ``W_U`` of the
    token that is the word or begins it: the logit that the concept alone would give the token. With the contrast "mean"
    it is the difference of two such logits.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Presence:
    """Concepts as they come in states.

    Parameters
    ----------
    activations : ndarray, n_components
        Of every concept a typical activation, of samples that have it.
    shares : ndarray, n_components
        Its share of all activations.
    mean : ndarray, n_features, or None
        The state to which concepts are added, where they are differences from one.
    """

    activations: np.ndarray
    shares: np.ndarray
    mean: np.ndarray | None = None

    @classmethod
    def of(cls, codes: np.ndarray, mean: np.ndarray | None = None) -> "Presence":
        """By the activations of samples, n_samples x n_components. Typical is the 90th percentile where positive."""
        typical = [np.quantile(column[column > 0], 0.9) if (column > 0).any() else 0.0 for column in codes.T]
        total = np.abs(codes).sum(axis=0, dtype=np.float64)
        return cls(np.array(typical), total / (total.sum() or 1.0), mean)


def ground_words(
    components: np.ndarray,
    lmm: "LMM",
    n_words: int = 10,
    word_filter: WordChoice = None,
    *,
    normalized: bool = False,
    captions: Iterable[str] = (),
    contrast: Contrast = "none",
    presence: Presence | None = None,
) -> list[list[Word]]:
    """The words that concept vectors decode to: the logit lens.

    The model's final norm is applied to every concept vector, once, and the result multiplied with ``W_U``. Tokens that
    are no words are left out, and those that begin a word are completed: see
    :class:`coxlmm.grounding.spelling.TokenWords`. Tokens that differ only in case or in the space before them are one
    word, which has the spelling and score of the best of them. An RMS norm makes the result independent of the vector's
    length; a layer norm with a bias or a mean is applied to the vector itself all the same, as if it were a state.

    Parameters
    ----------
    components : ndarray, n_components x n_features
        Directions in the space of states before the final norm.
    lmm : LMM
    n_words : int
        Words for each concept; fewer where the vocabulary has no more.
    word_filter : WordFilter, PublishedFilter or "published", optional
    normalized : bool, default False
        Whether the components are in the space behind the final norm: then it is not applied.
    captions : iterable of str
        What the model said of the samples: their words complete tokens.
    contrast : {"shared", "mean", "none"}
        What tells concepts of one word apart. "shared": words that are among the first five of more than half of the
        concepts, and of three at least, are left out of all. "mean": the logits of the mean concept, weighted by the
        shares of ``presence``, are subtracted; for concepts that are differences from a mean state m, the score is the
        change of the logits when the concept is added to it: ``W_U (norm(m + s u) - norm(m))``, with the typical
        activation s.
    presence : Presence, optional
        For the contrast "mean". Where it has a mean state, the words are among the first 1000 that the model has for
        ``m + s u``, unless the contrast is "none": a difference from a state may point at words that no state has. It
        is the plausibility constraint of contrastive decoding (Li et al., ACL 2023). The published filter, which has
        a limit of its own, does without.

    Returns
    -------
    list of lists of Word, n_components
        Best first.

    Raises
    ------
    ValueError
        If ``n_words`` is less than 1, the components do not have the model's number of features, or the contrast is
        none of these.
    """
    if n_words < 1:
        raise ValueError(f"n_words must be at least 1, got {n_words}")
    if contrast not in get_args(Contrast):
        raise ValueError(f"contrast must be one of {', '.join(get_args(Contrast))}, got {contrast!r}")
    components = np.asarray(components)
    accept = as_filter(word_filter)
    lens = Lens(lmm, accept, captions, normalized)
    directions = lens.directions(components)
    only = None
    if presence is not None and presence.mean is not None and contrast != "none":
        present = lens.directions(presence.mean + presence.activations[:, None] * components)
        if accept.n_tokens is None:
            only = [{word.key for word, _ in row} for row in lens.words(present, _PLAUSIBLE)]
        if contrast == "mean":
            directions = present - lens.directions(presence.mean[None])
    elif contrast == "mean":
        shares = np.full(len(components), 1 / len(components)) if presence is None else presence.shares
        directions = directions - shares.astype(directions.dtype) @ directions
    shared = set()
    if contrast == "shared":
        counts = Counter(word.key for row in lens.words(directions, _SHARED, only) for word, _ in row)
        shared = {key for key, count in counts.items() if count > max(2, len(components) / 2)}
    found = lens.words(directions, n_words, only, shared)
    return [[Word(word.text, score) for word, score in row] for row in found]


def raw_words(components: np.ndarray, lmm: "LMM", n_words: int = 10, *, normalized: bool = False) -> list[list[Word]]:
    """The tokens that concept vectors decode to, whatever they are: without filter or contrast.

    A token's text has the space that it may begin with; one that is no text by itself, such as a byte of a character,
    is named as in the vocabulary.
    """
    lens = Lens(lmm, WordFilter(), (), normalized)
    tokens, scores = lens.tokens(lens.directions(np.asarray(components)), n_words)
    return [
        [Word(_raw(lmm, token), score) for token, score in zip(row, values, strict=True)]
        for row, values in zip(tokens.tolist(), scores.tolist(), strict=True)
    ]


def rank_of_word(
    state: np.ndarray, lmm: "LMM", word: str, *, inflections: str | None = None, normalized: bool = False, n: int = 1000
) -> int:
    """At which place the words of a state, 1 and up, have ``word``; ``n + 1`` where it is not among the first ``n``.

    Of a phrase it is the place of the first word. The layers of a model speak the language of its output embedding
    only towards the last: where states that predict a word do not decode to it, concepts do not decode to words that
    mean them either.
    """
    first = next(word[a:b] for a, b, kind in pieces_of(word, default_segmentation()) if kind in ("word", "unspaced"))
    accept = WordFilter(inflections=inflections, min_length=1)
    lens = Lens(lmm, accept, [f"a {word}"], normalized)
    (found,) = lens.words(lens.directions(np.asarray(state)[None]), n)
    key = fold(accept.spelling(first))
    return next((rank for rank, (each, _) in enumerate(found, 1) if each.key == key), n + 1)


def as_filter(choice: WordChoice) -> WordFilter | PublishedFilter:
    """A filter by its name, or the default one."""
    if isinstance(choice, str):
        if choice != "published":
            raise ValueError(f"word_filter must be a WordFilter or 'published', got {choice!r}")
        return PublishedFilter()
    return choice or WordFilter()


def _raw(lmm: "LMM", token: int) -> str:
    text = lmm.decode_token(token)
    if text and "\N{REPLACEMENT CHARACTER}" not in text:
        return text
    return lmm.tokenizer.convert_ids_to_tokens(token) or ""
