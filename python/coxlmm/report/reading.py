"""How a decomposition is to be read, in words: not all of them are sums of parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coxlmm.dictionary import ConceptDictionary
from coxlmm.estimators import KMeans
from coxlmm.grounding import READABLE_RANK
from coxlmm.report.captions import quoted


@dataclass(frozen=True)
class Reading:
    """Pieces of the page's sentences.

    Attributes
    ----------
    lead : str
        What a state is.
    concept : str
        What a concept and an activation are.
    without : str
        What happens when a concept is left out.
    whole : str
        What the states are approximated by.
    signed : bool
        Whether activations may be negative.
    """

    lead: str = "a mixture of concepts"
    concept: str = (
        "A direction in the space of states. Every state is approximated by a sum of concepts with activations that "
        "are never negative, and zero where a concept plays no part."
    )
    without: str = "the others staying as they are"
    whole: str = "the sum of all concepts"
    signed: bool = False


_SUM = Reading()
_SIGNED = Reading(
    concept="A direction in the space of states. Every state is approximated by a sum of concepts with activations of "
    "either sign. Only positive ones count as active: words and images are of the concept’s own side.",
    signed=True,
)
_MEAN_AND_SUM = Reading(
    lead="the mean of all such states and a mixture of concepts",
    concept="A direction in which states differ from their mean. Every state is approximated by the mean state plus a "
    "sum of concepts with activations that are never negative, and zero where a concept plays no part.",
    whole="the mean and the sum of all concepts",
)
_AROUND_MEAN = Reading(
    lead="the mean of all such states and a mixture of concepts",
    concept="A direction in which states differ from their mean. Every state is approximated by the mean and a sum of "
    "concepts with activations of either sign. Only positive ones count as active: words and images are of the "
    "concept’s own side.",
    whole="the mean and the sum of all concepts",
    signed=True,
)
_CLUSTERS = Reading(
    lead="near one of these concepts",
    concept="The center of a cluster of states. A state activates it the more the nearer it lies, by 1 / (1 + "
    "distance): every concept is active, and activations are no parts of a sum.",
    without="its states going to the next nearest",
    whole="the nearest concept",
)


def reading_of(dictionary: ConceptDictionary) -> Reading:
    """How the decomposition of ``dictionary`` is to be read."""
    if isinstance(dictionary.estimator, KMeans):
        return _CLUSTERS
    signed = dictionary.codes.min() < 0
    if getattr(dictionary.estimator, "mean_", None) is not None:
        return _AROUND_MEAN if signed else _MEAN_AND_SUM
    return _SIGNED if signed else _SUM


# What heat maps show, by method: see coxlmm.localisation.maps.
_HEAT = {
    "states": "what the states at the image’s own tokens have of the concept, whatever the model makes of it",
    "gradient": "what each part of the image adds to the concept’s activation, by integrated gradients from an image "
    "that is alike everywhere",
    "occlusion": "what the concept’s activation loses when a part of the image is covered with the image’s mean colour",
}


def reading_of_heat(method: Any) -> str:
    """What heat maps made by ``method`` show; of any other, as older dictionaries have, that it is not known."""
    return _HEAT.get(str(method), "where in the image the concept is, by a method that was not recorded")


def heat_method_of(dictionary: ConceptDictionary) -> str | None:
    """How the heat maps of the dictionary's images were made, where it is known."""
    localisation = dictionary.manifest.get("localisation")
    return localisation.get("method") if isinstance(localisation, Mapping) else None


def reading_of_words(dictionary: ConceptDictionary) -> str:
    """What the words of the concepts are, by how they were chosen."""
    contrast = dictionary.manifest.get("grounding", {}).get("contrast")
    around_mean = getattr(dictionary.estimator, "mean_", None) is not None
    lens = "the model’s final norm and output embedding applied to it"
    if contrast == "mean" and around_mean:
        score = (
            "What the concept would make the model more likely to say. The score is how much a typical activation of "
            "it, added to the mean state, raises the logit of the word."
        )
    elif contrast == "mean":
        score = (
            f"What the concept would make the model say more than others: {lens}. The score is the logit, less that of "
            "the mean concept."
        )
    else:
        score = f"What the concept alone would make the model say: {lens}. The score is the logit."
    shared = " Words that come first in more than half of the concepts are left out." if contrast == "shared" else ""
    return f"{score} Tokens that are no words are left out, and those that begin one are completed.{shared}"


def warning_of_words(dictionary: ConceptDictionary) -> str | None:
    """What is to be said where the words cannot be trusted: the layer does not speak the language of words yet."""
    grounding = dictionary.manifest.get("grounding", {})
    rank = grounding.get("rank_of_word")
    if rank is None or rank <= READABLE_RANK:
        return None
    return (
        f"The words of this page are not to be trusted; its images are. Even the mean state does not decode to "
        f"{quoted(dictionary.word)}, which it predicts (it is word {rank:,}, or later): the layer is too early for it."
    )
