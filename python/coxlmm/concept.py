"""One concept of a dictionary, and what is known of it."""

from dataclasses import dataclass, field

from coxlmm.grounding import ImageHit, Word

# Of 20 random directions none may do as much.
SIGNIFICANT = 0.05


def is_chance(p_value: float, n_random: int) -> bool:
    """Whether random directions do as much: some of them do, and more than one in 20.

    What all of fewer than 19 directions stay below is not said to be chance: so few cannot tell.
    """
    return p_value > SIGNIFICANT and round(p_value * (1 + n_random)) > 1


@dataclass(frozen=True)
class Effect:
    """What removing a concept from the states changes in what the model says: :mod:`coxlmm.intervention`.

    Attributes
    ----------
    divergence : float, nats
        Kullback-Leibler divergence of the next-word distribution after the removal from the one before, mean over
        images.
    caption_changed : float, 0 to 1
        In what part of the images the caption, from the word on, became another.
    random_divergence, random_caption_changed : float
        The same for random changes of equal norm, mean over directions and images. All directions are as probable.
    p_value : float, 0 to 1
        In what part of the random directions, and the concept's own, the mean divergence was at least as large.
    n_images, n_random : int
    matched_divergence, matched_caption_changed, matched_p_value : float or None
        The same for random directions in which the states of the fit differ, as the dictionary describes them: drawn
        with their covariance. They do more than those of all directions.
    """

    divergence: float
    caption_changed: float
    random_divergence: float
    random_caption_changed: float
    p_value: float
    n_images: int
    n_random: int
    matched_divergence: float | None = None
    matched_caption_changed: float | None = None
    matched_p_value: float | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether removing the concept does no more than any change of that size would."""
        return is_chance(self.p_value, self.n_random)

    @property
    def is_specific(self) -> bool:
        """Whether it does more than changes in directions in which the states differ, too."""
        return not self.is_nothing and self.matched_p_value is not None and self.matched_p_value <= SIGNIFICANT


@dataclass(frozen=True)
class Concept:
    """One concept of a dictionary.

    Attributes
    ----------
    index : int
        Row of ``components``, column of ``codes``.
    words : list of Word
        What it decodes to, best first; empty before :meth:`ConceptDictionary.ground`.
    images : list of ImageHit
        The samples that activate it most; empty before :meth:`ConceptDictionary.ground`.
    n_active : int
        Samples of the fit that activate it: whose activation is above 0.
    share_of_activation : float, 0 to 1
        Its activations over all samples, divided by those of all concepts. Where activations have signs (PCA) their
        absolute values are summed.
    share_of_error : float
        What leaving it out would cost: the increase of the squared reconstruction error when its activations are set to
        zero and all others stay, divided by the squared norm of the states. It is in the unit of
        :attr:`ConceptDictionary.relative_error`. The shares of all concepts do not sum to 1.
    raw_words : list of Word
        The tokens that it decodes to, unfiltered and without contrast.
    stability : float, 0 to 1, or None
        How well other seeds find it again: see :attr:`ConceptDictionary.stability`.
    effect : Effect or None
        What removing it changes.
    """

    index: int
    words: list[Word]
    images: list[ImageHit]
    n_active: int
    share_of_activation: float
    share_of_error: float
    raw_words: list[Word] = field(default_factory=list)
    stability: float | None = None
    effect: Effect | None = None
