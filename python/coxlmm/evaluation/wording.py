"""Words for other concept vectors, found as those of a dictionary were."""

from typing import TYPE_CHECKING

import numpy as np

from coxlmm.dictionary import ConceptDictionary
from coxlmm.evaluation.baselines import random_directions
from coxlmm.grounding import Contrast, Presence, WordChoice, WordFilter, ground_words

if TYPE_CHECKING:
    from coxlmm.models import LMM


class Wording:
    """One way to find words, for several dictionaries of the same states.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
    n_words, word_filter, contrast
        As :meth:`ConceptDictionary.ground` takes them. None: as ``dictionary`` was grounded, or the default.
    """

    def __init__(
        self,
        dictionary: ConceptDictionary,
        lmm: "LMM",
        n_words: int | None = None,
        word_filter: WordChoice = None,
        contrast: Contrast | None = None,
    ) -> None:
        done = dictionary.manifest.get("grounding", {})
        self.n_words: int = n_words or done.get("n_words", 10)
        self.contrast: Contrast = contrast or done.get("contrast", "shared")
        options = done.get("word_filter", {})
        self._filter = word_filter or ("published" if "name" in options else WordFilter(**options))
        self._lmm, self._normalized = lmm, bool(dictionary.manifest.get("normalized"))
        self._dictionary = dictionary

    def of(self, dictionary: ConceptDictionary) -> list[list[str]]:
        """The words of every concept, best first."""
        return self._words(dictionary.components, dictionary)

    def of_random_directions(self, seed: int) -> list[list[str]]:
        """The words of random directions in the place of the concepts: as many, as long, and as active."""
        own = self._dictionary.components
        drawn = random_directions(*own.shape, seed) * np.linalg.norm(own, axis=1, keepdims=True)
        return self._words(drawn.astype(np.float32), self._dictionary)

    def _words(self, vectors: np.ndarray, active_as: ConceptDictionary) -> list[list[str]]:
        found = ground_words(
            vectors,
            self._lmm,
            self.n_words,
            self._filter,
            normalized=self._normalized,
            captions=self._dictionary.captions,
            contrast=self.contrast,
            presence=Presence.of(active_as.codes, getattr(active_as.estimator, "mean_", None)),
        )
        return [[word.text for word in words] for words in found]
