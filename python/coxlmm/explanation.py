"""One image -> the concepts behind a word of its caption."""

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from coxlmm import _core
from coxlmm.architecture import UnsupportedModelError
from coxlmm.concept import Concept
from coxlmm.dictionary import ConceptDictionary
from coxlmm.estimators import KMeans
from coxlmm.grounding import thumbnail
from coxlmm.images import open_image
from coxlmm.localisation import Method, Spoken, as_heat, heat_maps_of, methods_of
from coxlmm.origin import require_origin
from coxlmm.settings import options_of
from coxlmm.states import States
from coxlmm.words import WordMatcher, WordNotFoundError

if TYPE_CHECKING:
    from coxlmm.models import LMM

HeatMaps = Method | Literal["auto"] | None


@dataclass(frozen=True, eq=False)
class ActiveConcept:
    """A concept that an image activates.

    Attributes
    ----------
    concept : Concept
    activation : float, positive
    share : float, 0 to 1
        What part of all activations of the image its activation is. Where activations have signs (PCA) it is a part of
        the sum of their absolute values.
    share_of_reconstruction : float
        What it contributes to the reconstructed state: see :attr:`Explanation.shares_of_reconstruction`.
    heat : ndarray of float32, rows x columns, or None
        Where in the image it is, 0 to 1, the largest value of this image's map being 1: see
        :mod:`coxlmm.localisation`.
    """

    concept: Concept
    activation: float
    share: float
    share_of_reconstruction: float
    heat: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The concepts behind one word of the caption of one image.

    Attributes
    ----------
    caption : str
        What the model wrote.
    word : str or None
        The word explained; None where the dictionary is of states that are no word's.
    span : (int, int)
        Its characters ``[start, stop)`` in the caption; ``(0, 0)`` where there is no word.
    position : int
        Index of the word's first token among the generated tokens.
    activations : ndarray, n_concepts
        Of all concepts. Where the dictionary is of the states at every visual token it is their mean over tokens.
    concepts : list of ActiveConcept
        Those activated most, largest first.
    residual : float
        ``||x - decode(activations)||^2 / ||x||^2``: what part of the state's squared norm the decomposition misses. See
        :attr:`ConceptDictionary.relative_error`.
    sample_id : str
    thumbnail : bytes or None
        The image as WebP.
    shares_of_reconstruction : ndarray, n_concepts
        ``<v_k u_k, y> / ||y||^2`` with ``y = decode(activations)``: how far each concept alone goes towards the
        reconstructed state. With :attr:`share_of_mean` they sum to 1. One that points away from what the others amount
        to has a negative share. Of k-means the nearest center has it all.
    share_of_mean : float or None
        The same of the mean that the estimator adds to all states; None where it adds none.
    heat_method : str or None
        How the heat maps were made.
    without_heat : str or None
        Why there are none, where the model does not let any be made.
    tokens : list of int
        The generated tokens.
    """

    caption: str
    word: str | None
    span: tuple[int, int]
    position: int
    activations: np.ndarray = field(repr=False)
    concepts: list[ActiveConcept] = field(repr=False)
    residual: float
    sample_id: str
    thumbnail: bytes | None = field(default=None, repr=False)
    shares_of_reconstruction: np.ndarray = field(kw_only=True, repr=False)
    share_of_mean: float | None = field(default=None, kw_only=True)
    heat_method: str | None = field(default=None, kw_only=True)
    without_heat: str | None = field(default=None, kw_only=True)
    tokens: list[int] = field(default_factory=list, kw_only=True, repr=False)

    @property
    def n_active(self) -> int:
        """Number of concepts that the image activates: whose activation is above 0."""
        return int(np.count_nonzero(self.activations > 0))

    @property
    def n_negative(self) -> int:
        """Number of concepts whose activation is below 0: some of PCA's, none of other estimators."""
        return int(np.count_nonzero(self.activations < 0))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without the image; heat maps as lists of rows."""
        return {
            "sample_id": self.sample_id,
            "caption": self.caption,
            "word": self.word,
            "span": list(self.span),
            "position": self.position,
            "residual": self.residual,
            "share_of_mean": self.share_of_mean,
            "heat_method": self.heat_method,
            "without_heat": self.without_heat,
            "activations": self.activations.tolist(),
            "shares_of_reconstruction": self.shares_of_reconstruction.tolist(),
            "concepts": [
                {
                    "index": active.concept.index,
                    "activation": active.activation,
                    "share": active.share,
                    "share_of_reconstruction": active.share_of_reconstruction,
                    "words": [{"text": word.text, "score": word.score} for word in active.concept.words],
                    "images": [hit.sample_id for hit in active.concept.images],
                    "heat": None if active.heat is None else active.heat.tolist(),
                }
                for active in self.concepts
            ],
        }

    def __str__(self) -> str:
        start, stop = self.span
        marked = f"[{self.caption[start:stop]}]" if self.word is not None else ""
        lines = [f"{self.caption[:start]}{marked}{self.caption[stop:]}"]
        for a in self.concepts:
            words = ", ".join(word.text for word in a.concept.words[:6])
            part = f"{a.share_of_reconstruction:.0%} of the reconstruction"
            lines.append(f"  {a.share:4.0%}  concept {a.concept.index:<3d} {words}{' · ' if words else ''}{part}")
        more = self.n_active - len(self.concepts)
        sizes = np.abs(self.activations, dtype=np.float64)
        shown = sum(active.share for active in self.concepts)
        if more > 0:
            lines.append(f"  {sizes[self.activations > 0].sum() / sizes.sum() - shown:4.0%}  {more} more")
        if self.n_negative:
            lines.append(f"  {sizes[self.activations < 0].sum() / sizes.sum():4.0%}  {self.n_negative} negative")
        mean = self.share_of_mean
        of_mean = "" if mean is None else f"; the mean of all states is {mean:.0%} of the reconstruction"
        lines.append(f"  {self.residual:.0%} of the state's squared norm is not explained{of_mean}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from coxlmm.report import explanation_html

        return explanation_html(self)


def explain(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    image: Any,
    *,
    n_concepts: int = 5,
    heat_maps: HeatMaps = "auto",
    word: str | None = None,
) -> Explanation:
    """Captions an image and decomposes the state that predicts the dictionary's word.

    The state is extracted exactly as those of the fit were: same layer and position, and same options of matching. Of
    the words that share a dictionary, the one that comes first in the caption is explained. A dictionary of the states
    at every visual token explains them all: activations are means over the tokens, and each concept's heat map is its
    activations themselves.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
        The model that the dictionary is of.
    image : PIL image, path, or anything else the processor takes
    n_concepts : int
        How many of the activated concepts to name, at most.
    heat_maps : {"auto", "states", "gradient", "occlusion"} or None
        How to find where in the image each of them is: see :mod:`coxlmm.localisation`. "auto" is the method that was
        found most faithful, where the model has what it takes; ``without_heat`` says what it lacks otherwise.
    word : str, optional
        Which of the words that share the dictionary. Default: the one that comes first in the caption.

    Raises
    ------
    ValueError
        If the caption lacks the word (the message has the caption), the image cannot be read, the dictionary does not
        know its word, the model has another prompt, or another number of features or layers, or an argument is not
        one of those above.
    UnsupportedModelError
        If a method of heat maps was named, and the model does not have what it takes.
    """
    if n_concepts < 1:
        raise ValueError(f"n_concepts must be at least 1, got {n_concepts}")
    methods = [] if heat_maps is None else methods_of(dictionary, heat_maps)
    states = states_of(dictionary, lmm, image, word)
    codes = dictionary.encode(states)
    x = states.X.astype(np.float64)
    decoded = dictionary.decode(codes.astype(np.float64))
    shares, share_of_mean = _shares_of_reconstruction(dictionary, codes.astype(np.float64), decoded)
    activations = codes.mean(axis=0)
    active = _most_active(activations, n_concepts)
    maps, method, without_heat = {}, None, None
    spoken = Spoken(dictionary, lmm, open_image(image, 0), states.tokens[0], states.manifest.get("word"))
    for method in methods:
        try:
            (maps,) = heat_maps_of([spoken], [list(active)], method)
            break
        except UnsupportedModelError as error:
            if heat_maps != "auto":
                raise
            without_heat = str(error)
    else:
        method = None
    total = float(np.abs(activations).sum(dtype=np.float64))
    concepts = dictionary.concepts
    return Explanation(
        caption=states.captions[0],
        word=states.manifest.get("word"),
        span=_span(states),
        position=int(states.positions[0]),
        activations=activations,
        concepts=[
            ActiveConcept(
                concepts[k],
                activation,
                activation / total,
                float(shares[k]),
                as_heat(maps[k], maps[k].max()) if k in maps else None,
            )
            for k, activation in active.items()
        ],
        residual=float(np.square(x - decoded).sum() / np.square(x).sum()),
        sample_id=states.sample_ids[0],
        thumbnail=thumbnail(image),
        shares_of_reconstruction=shares,
        share_of_mean=share_of_mean,
        heat_method=method,
        without_heat=without_heat if method is None else None,
        tokens=states.tokens[0],
    )


def states_of(dictionary: ConceptDictionary, lmm: "LMM", image: Any, word: str | None = None) -> States:
    """The state of one image, extracted as those that the dictionary was fitted to were; all of them where it is of
    every visual token. Its manifest has the word, where several share the dictionary: ``word``, or whichever comes
    first.

    Raises
    ------
    ValueError
        As :func:`explain` does.
    """
    require_origin(dictionary, lmm)
    options = options_of(dictionary.manifest)
    wanted = dictionary.word
    if word is not None:
        if word not in dictionary.words_of_interest:
            raise ValueError(f"the dictionary is not of the word {word!r}, but of {dictionary.word!r}")
        wanted = word
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*there are no states of it")  # one of the words is enough
            found = lmm.extract([image], wanted, batch_size=1, on_error="raise", workers=0, **options)
    except WordNotFoundError as error:
        limit = {key: options[key] for key in ("max_new_tokens",) if key in options}
        raise WordNotFoundError(
            f"the model's caption of the image, {lmm.caption([image], **limit)[0]!r}, does not contain the word "
            f"{wanted!r}: a dictionary explains the state that predicts its word, so give an image for which "
            f"the model uses it"
        ) from error
    if isinstance(found, States):
        return found
    return min((states for states in found.values() if len(states)), key=lambda one: (one.positions[0], _span(one)))


def _span(states: States) -> tuple[int, int]:
    """Where in the caption the word is."""
    if states.manifest.get("word") is None:
        return 0, 0
    span = WordMatcher.of(states.manifest).find(states.captions[0])
    if span is None:  # stripping spaces cannot remove a word
        word = states.manifest["word"]
        raise RuntimeError(f"{word!r} was found in the generated tokens but not in {states.captions[0]!r}")
    return span


def _most_active(activations: np.ndarray, n: int) -> dict[int, float]:
    """The activations of the concepts that are active, the largest first, at most ``n``."""
    indices, values = _core.most_activating_concepts(activations[None], min(n, len(activations)))
    return {k: value for k, value in zip(indices[0].tolist(), values[0].tolist(), strict=True) if value > 0}


def _shares_of_reconstruction(
    dictionary: ConceptDictionary, codes: np.ndarray, decoded: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """What each concept, and the mean, contribute to what codes stand for: <part, whole> / ||whole||^2."""
    whole = np.square(decoded).sum() or 1.0
    if isinstance(dictionary.estimator, KMeans):  # a state stands for its nearest center, and for no sum
        norms = np.square(decoded).sum(axis=1)
        return np.bincount(codes.argmax(axis=1), norms, dictionary.n_concepts) / whole, None
    shares = np.einsum("nk,nk->k", codes, decoded @ dictionary.components.T) / whole
    mean = getattr(dictionary.estimator, "mean_", None)
    return shares, None if mean is None else float((decoded @ mean).sum() / whole)
