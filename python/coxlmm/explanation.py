"""One image -> the concepts behind a word of its caption."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from coxlmm import _core
from coxlmm.dictionary import Concept, ConceptDictionary
from coxlmm.grounding import thumbnail
from coxlmm.settings import options_of
from coxlmm.states import States
from coxlmm.verification import require_prompt
from coxlmm.words import WordMatcher, WordNotFoundError

if TYPE_CHECKING:
    from coxlmm.models import LMM


@dataclass(frozen=True)
class ActiveConcept:
    """A concept that an image activates: how strongly, and what part of all activations of that image it is.

    Where activations have signs (PCA), ``share`` is a part of the sum of their absolute values.
    """

    concept: Concept
    activation: float
    share: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """The concepts behind one word of the caption of one image.

    Attributes
    ----------
    caption : str
        What the model wrote.
    word : str
        The word explained.
    span : (int, int)
        Its characters ``[start, stop)`` in the caption.
    position : int
        Index of the word's first token among the generated tokens.
    activations : ndarray, n_concepts
        Of all concepts.
    concepts : list of ActiveConcept
        Those activated most, largest first.
    residual : float
        ``||x - decode(activations)||^2 / ||x||^2``: what part of the state's squared norm the decomposition misses. See
        :attr:`ConceptDictionary.relative_error`.
    sample_id : str
    thumbnail : bytes or None
        The image as WebP.
    """

    caption: str
    word: str
    span: tuple[int, int]
    position: int
    activations: np.ndarray = field(repr=False)
    concepts: list[ActiveConcept] = field(repr=False)
    residual: float
    sample_id: str
    thumbnail: bytes | None = field(default=None, repr=False)

    @property
    def n_active(self) -> int:
        """Number of concepts that the image activates: whose activation is above 0."""
        return int(np.count_nonzero(self.activations > 0))

    @property
    def n_negative(self) -> int:
        """Number of concepts whose activation is below 0: some of PCA's, none of other estimators."""
        return int(np.count_nonzero(self.activations < 0))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without the image."""
        return {
            "sample_id": self.sample_id,
            "caption": self.caption,
            "word": self.word,
            "span": list(self.span),
            "position": self.position,
            "residual": self.residual,
            "activations": self.activations.tolist(),
            "concepts": [
                {
                    "index": active.concept.index,
                    "activation": active.activation,
                    "share": active.share,
                    "words": [{"text": word.text, "score": word.score} for word in active.concept.words],
                }
                for active in self.concepts
            ],
        }

    def __str__(self) -> str:
        start, stop = self.span
        lines = [f"{self.caption[:start]}[{self.caption[start:stop]}]{self.caption[stop:]}"]
        lines += [
            f"  {a.share:4.0%}  concept {a.concept.index:<3d} {', '.join(w.text for w in a.concept.words[:6])}"
            for a in self.concepts
        ]
        more = self.n_active - len(self.concepts)
        sizes = np.abs(self.activations, dtype=np.float64)
        shown = sum(active.share for active in self.concepts)
        if more > 0:
            lines.append(f"  {sizes[self.activations > 0].sum() / sizes.sum() - shown:4.0%}  {more} more")
        if self.n_negative:
            lines.append(f"  {sizes[self.activations < 0].sum() / sizes.sum():4.0%}  {self.n_negative} negative")
        lines.append(f"  {self.residual:.0%} of the state's squared norm is not explained")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from coxlmm.report import explanation_html

        return explanation_html(self)


def explain(dictionary: ConceptDictionary, lmm: "LMM", image: Any, *, n_concepts: int = 5) -> Explanation:
    """Captions an image and decomposes the state that predicts the dictionary's word.

    The state is extracted exactly as those of the fit were: same layer, and same options of matching.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
        The model that the dictionary is of.
    image : PIL image, path, or anything else the processor takes
    n_concepts : int
        How many of the activated concepts to name, at most.

    Raises
    ------
    ValueError
        If the caption lacks the word (the message has the caption), the image cannot be read, the dictionary does not
        know its word, or the model has another prompt, or another number of features or layers.
    """
    if n_concepts < 1:
        raise ValueError(f"n_concepts must be at least 1, got {n_concepts}")
    states = states_of(dictionary, lmm, image)
    activations = dictionary.encode(states)[0]
    x = states.X[0].astype(np.float64)
    residual = x - dictionary.decode(activations[None].astype(np.float64))[0]
    caption = states.captions[0]
    span = WordMatcher.of(dictionary.manifest).find(caption)
    if span is None:  # stripping spaces cannot remove a word
        raise RuntimeError(f"the word {dictionary.word!r} was found in the generated tokens but not in {caption!r}")
    return Explanation(
        caption=caption,
        word=dictionary.word,
        span=span,
        position=int(states.positions[0]),
        activations=activations,
        concepts=_most_active(dictionary, activations, n_concepts),
        residual=float(residual @ residual / (x @ x)),
        sample_id=states.sample_ids[0],
        thumbnail=thumbnail(image),
    )


def states_of(dictionary: ConceptDictionary, lmm: "LMM", image: Any) -> States:
    """The state of one image, extracted as those that the dictionary was fitted to were.

    Raises
    ------
    ValueError
        As :func:`explain` does.
    """
    manifest = dictionary.manifest
    if dictionary.word is None or "layer" not in manifest:
        raise ValueError("the dictionary's manifest has no word or no layer: it was fitted to states of unknown origin")
    if manifest.get("n_layers", lmm.n_layers) != lmm.n_layers:
        raise ValueError(
            f"the dictionary is of {manifest.get('model_id')} with {manifest['n_layers']} layers, "
            f"but {lmm.model_id} has {lmm.n_layers}"
        )
    require_prompt(lmm, manifest)
    if manifest.get("position") == "visual":
        raise ValueError(
            "the dictionary is of the states at every visual token, of which an image has many: give it "
            "those with dictionary.encode(lmm.extract(..., position='visual'))"
        )
    options = options_of(manifest)
    try:
        return lmm.extract([image], dictionary.word, batch_size=1, on_error="raise", workers=0, **options)
    except WordNotFoundError as error:
        limit = {key: options[key] for key in ("max_new_tokens",) if key in options}
        raise WordNotFoundError(
            f"the model's caption of the image, {lmm.caption([image], **limit)[0]!r}, does not contain the word "
            f"{dictionary.word!r}: a dictionary explains the state that predicts its word, so give an image for which "
            f"the model uses it"
        ) from error


def _most_active(dictionary: ConceptDictionary, activations: np.ndarray, n: int) -> list[ActiveConcept]:
    indices, values = _core.most_activating_concepts(activations[None], min(n, len(activations)))
    total = float(np.abs(activations).sum(dtype=np.float64))
    concepts = dictionary.concepts
    return [
        ActiveConcept(concepts[k], value, value / total)
        for k, value in zip(indices[0].tolist(), values[0].tolist(), strict=True)
        if value > 0
    ]
