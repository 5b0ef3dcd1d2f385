"""One concept, one image: what the model says without the concept, or with more of it, and with random changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from coxlmm.concept import Concept
from coxlmm.dictionary import ConceptDictionary
from coxlmm.estimators import KMeans
from coxlmm.explanation import states_of
from coxlmm.images import open_image
from coxlmm.intervention.branches import Branch, Fork
from coxlmm.intervention.directions import (
    RandomChanges,
    divergence,
    is_nothing,
    isotropic_directions,
    matched_directions,
    p_value,
)
from coxlmm.origin import module_of, word_span

if TYPE_CHECKING:
    from coxlmm.models import LMM

Positions = Literal["word", "from-word"]

_MAX_NEW_TOKENS = 32  # where states do not tell how long their captions could be
_N_NEXT_WORDS = 10


@dataclass(frozen=True)
class NextWord:
    """A token that the model could say next, and its probability before and after the change."""

    text: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Intervention:
    """What changes in what the model says of one image when a concept is changed in its states.

    Attributes
    ----------
    concept : Concept
    word : str or None
        The one whose state is changed.
    activation : float
        Of the concept, in the state that is changed first.
    factor, add : float
        What the activation ``v`` became: ``factor * v + add * typical``, where "typical" is the concept's mean
        activation over the samples of the fit that activate it.
    positions : "word" or "from-word"
        Which states were changed.
    position : int
        Index among the generated tokens of the first one that a changed state predicts.
    size : float
        Norm of the first change, relative to that of the state.
    caption, changed_caption : str
        Before and after. They agree up to ``position``.
    next_words : list of NextWord
        Those most probable before or after, and those whose probabilities changed most; most probable before first.
    divergence : float, nats
        Kullback-Leibler divergence of the next-word distribution after the change from the one before:
        the sum of ``p_before * log(p_before / p_after)``.
    random : RandomChanges
        What changes of the same norm in random directions do, all directions as probable.
    matched : RandomChanges
        The same for directions in which the states of the fit differ: see
        :func:`coxlmm.intervention.directions.matched_directions`.
    """

    concept: Concept
    word: str | None
    activation: float
    factor: float
    add: float
    positions: Positions
    position: int
    size: float
    caption: str
    changed_caption: str
    next_words: list[NextWord] = field(repr=False)
    divergence: float
    random: RandomChanges = field(repr=False)
    matched: RandomChanges = field(repr=False)

    @property
    def caption_changed(self) -> bool:
        return self.changed_caption != self.caption

    @property
    def is_nothing(self) -> bool:
        """Whether changing the concept does no more than any change of that size would."""
        return is_nothing(self.divergence, self.random.divergences)

    def risers(self, n: int = 5) -> list[NextWord]:
        """The tokens that became more probable, by how much."""
        return [w for w in sorted(self.next_words, key=lambda w: w.before - w.after)[:n] if w.after > w.before]

    def fallers(self, n: int = 5) -> list[NextWord]:
        """The tokens that became less probable, by how much."""
        return [w for w in sorted(self.next_words, key=lambda w: w.after - w.before)[:n] if w.after < w.before]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "concept": self.concept.index,
            "word": self.word,
            "activation": self.activation,
            "factor": self.factor,
            "add": self.add,
            "positions": self.positions,
            "position": self.position,
            "size": self.size,
            "caption": self.caption,
            "changed_caption": self.changed_caption,
            "next_words": [{"text": w.text, "before": w.before, "after": w.after} for w in self.next_words],
            "divergence": self.divergence,
            "is_nothing": self.is_nothing,
            **{
                name: {
                    "divergences": changes.divergences.tolist(),
                    "captions": changes.captions,
                    "p_value": p_value(self.divergence, changes.divergences),
                }
                for name, changes in (("random", self.random), ("matched", self.matched))
            },
        }

    def __str__(self) -> str:
        done = f"activation {self.activation:.4g} x {self.factor:g}" + f" + {self.add:g} typical" * bool(self.add)
        said = ", ".join(w.text for w in self.concept.words[:6])
        lines = [
            f"concept {self.concept.index}{' (' + said + ')' if said else ''}: {done}, a change of {self.size:.0%} of "
            f"the state's norm",
            f"  before  {self.caption}",
            f"  after   {self.changed_caption if self.caption_changed else 'the same'}",
            f"  {'next word':<18} before  after",
            *(f"    {w.text!r:<16} {w.before:6.1%} {w.after:6.1%}" for w in self.next_words[:6]),
            *(f"    {w.text!r:<16} {w.before:6.1%} {w.after:6.1%}  rises" for w in self._more_risers()),
            f"  divergence {self.divergence:.3g} nats, of {len(self.random.divergences)} random changes of that size:",
            f"    in any direction            {self._beside(self.random)}",
            f"    in which the states differ  {self._beside(self.matched)}",
        ]
        if self.activation == 0 and not self.add:
            lines.append("  The concept is not active in this image, and nothing was changed; add=1 puts it in.")
        elif self.is_nothing:
            lines.append("  It does no more than chance: any change of that size.")
        return "\n".join(lines)

    def _more_risers(self) -> list[NextWord]:
        return [word for word in self.risers(3) if word not in self.next_words[:6]]

    def _beside(self, changes: RandomChanges) -> str:
        low, high = np.quantile(changes.divergences, [0.05, 0.95])
        changed = np.mean([caption != self.caption for caption in changes.captions])
        return (
            f"mean {changes.divergences.mean():.3g}, 5% to 95% {low:.3g} to {high:.3g}, captions changed "
            f"{changed:.0%}, p = {p_value(self.divergence, changes.divergences):.2g}"
        )


def intervene(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    image: Any,
    concept: int,
    *,
    factor: float | None = None,
    add: float | None = None,
    positions: Positions = "word",
    n_random: int = 20,
    seed: int = 0,
    batch_size: int = 64,
) -> Intervention:
    """Changes a concept in the states of the model while it writes, and compares with random changes.

    The state h whose activation is v becomes ``h + (factor - 1) * v * u``, with u the concept's vector: with a factor
    of 0 what the dictionary says is of the concept in the state is taken out of it, with 2 it is there twice.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
        The model that the dictionary is of.
    image : PIL image, path, or anything else the processor takes
    concept : int
        Its index.
    factor : float, optional
        What the activation is multiplied with. Default: 0, which removes the concept.
    add : float, optional
        Instead: how much is added to the activation, in units of the concept's mean activation over the samples of the
        fit that activate it. So a concept that the image does not activate can be put in.
    positions : {"word", "from-word"}
        The state that predicts the word alone, as those that the dictionary is of; or that one and all later ones, each
        by its own activation.
    n_random : int
        Random directions of either kind, each with a change of the same norm.
    seed : int
        Of the random directions.
    batch_size : int
        Captions that are written at a time.

    Raises
    ------
    ValueError
        If the image, its caption or the model do not fit the dictionary (as for
        :func:`coxlmm.explanation.explain`), an option is not one of those above, or the dictionary's samples are no
        sums of concepts (k-means).
    """
    if factor is not None and add is not None:
        raise ValueError(f"give factor or add, not both: factor={factor}, add={add}")
    if positions not in get_args(Positions):
        raise ValueError(f"positions must be one of {', '.join(get_args(Positions))}, got {positions!r}")
    if n_random < 1:
        raise ValueError(f"n_random must be at least 1, got {n_random}")
    if not 0 <= concept < dictionary.n_concepts:
        raise ValueError(f"there is no concept {concept}: the dictionary has 0 to {dictionary.n_concepts - 1}")
    require_removable(dictionary)
    states = states_of(dictionary, lmm, image)
    tokens = list(states.tokens[0])
    position = first_changed(lmm, states.manifest, tokens)
    factor = factor if factor is not None else 0.0 if add is None else 1.0
    add = 0.0 if add is None else add
    codes = dictionary.codes[:, concept]
    more = add * float(codes[codes > 0].mean()) if (codes > 0).any() else 0.0

    def coefficient(activation: Any) -> Any:
        return (factor - 1) * activation + more

    fork = Fork(lmm, module_of(lmm, dictionary), [open_image(image, 0)], [tokens[:position]], batch_size)
    activation = float(dictionary.encode(fork.states)[0, concept])
    u = dictionary.components[concept].astype(np.float64)
    random = isotropic_directions(len(u), n_random, seed), matched_directions(dictionary, n_random, seed)
    directions = np.concatenate([0 * u[None], u[None], *(np.linalg.norm(u) * unit for unit in random)])

    def later(hidden: np.ndarray, rows: slice) -> np.ndarray:
        return (coefficient(dictionary.encode(hidden)[:, concept])[:, None] * directions[rows]).astype(np.float32)

    branches = fork.branches(
        [0] * len(directions),
        coefficient(activation) * directions,
        max_new_tokens(dictionary, position),
        later if positions == "from-word" else None,
    )
    before, after, *found = branches

    def caption(branch: Branch) -> str:
        return lmm.decode([*tokens[:position], *branch.ids]).strip()

    def random_changes(branches: list[Branch]) -> RandomChanges:
        after = np.stack([branch.log_probabilities for branch in branches])
        return RandomChanges(divergence(before.log_probabilities, after), [caption(branch) for branch in branches])

    return Intervention(
        concept=dictionary.concepts[concept],
        word=states.manifest.get("word"),
        activation=activation,
        factor=factor,
        add=add,
        positions=positions,
        position=position,
        size=float(abs(coefficient(activation)) * np.linalg.norm(u) / np.linalg.norm(fork.states[0])),
        caption=caption(before),
        changed_caption=caption(after),
        next_words=_next_words(lmm, before.log_probabilities, after.log_probabilities),
        divergence=float(divergence(before.log_probabilities, after.log_probabilities)),
        random=random_changes(found[:n_random]),
        matched=random_changes(found[n_random:]),
    )


def max_new_tokens(dictionary: ConceptDictionary, position: int) -> int:
    """How many tokens may follow the first ``position`` ones of a caption, as in the captions of the fit."""
    return max(1, dictionary.manifest.get("max_new_tokens", _MAX_NEW_TOKENS) - position)


def require_removable(dictionary: ConceptDictionary) -> None:
    """Raises ValueError for dictionaries whose concepts cannot be taken out of the state that predicts a word."""
    if isinstance(dictionary.estimator, KMeans):
        raise ValueError("a state is no sum of the centers of k-means: none can be taken out of it")
    if dictionary.manifest.get("normalized"):
        raise ValueError("the dictionary is of states behind the final norm: no layer puts them out")
    position = dictionary.manifest.get("position", "predicting")
    if position in ("visual", "visual-mean"):
        raise ValueError(f"the dictionary is of states of visual tokens (position={position!r}): they predict no word")


def first_changed(lmm: "LMM", manifest: Mapping[str, Any], tokens: list[int]) -> int:
    """Index of the first generated token that a state of the kind that a manifest tells of predicts.

    Of a word of several tokens whose states are averaged it is the first one.
    """
    position = manifest.get("position", "predicting")
    if position == "prompt":
        return 0
    span = word_span(lmm, manifest, tokens)
    at = span.stop - 1 if manifest.get("token") == "last" else span.start
    return at + (position == "word")


def _next_words(lmm: "LMM", before: np.ndarray, after: np.ndarray) -> list[NextWord]:
    p, q = np.exp(before), np.exp(after)
    of_interest = {i for values in (p, q, np.abs(q - p)) for i in np.argsort(-values, kind="stable")[:_N_NEXT_WORDS]}
    shown = sorted(of_interest, key=lambda i: -p[i])
    return [NextWord(lmm.decode_token(i), float(p[i]), float(q[i])) for i in shown]
