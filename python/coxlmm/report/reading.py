"""How a decomposition is to be read, in words: not all of them are sums of parts."""

from dataclasses import dataclass

from coxlmm.dictionary import ConceptDictionary
from coxlmm.estimators import KMeans


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
