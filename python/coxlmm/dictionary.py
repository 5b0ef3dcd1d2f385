"""The concepts of a model at a word: a fitted estimator, what it was fitted on, and what its concepts mean."""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from coxlmm.concept import Concept, Effect
from coxlmm.grounding import (
    READABLE_RANK,
    Contrast,
    ImageHit,
    ImageSource,
    Presence,
    Word,
    WordChoice,
    as_filter,
    ground_words,
    illustrate,
    rank_of_word,
    raw_words,
)
from coxlmm.names import public_name
from coxlmm.reconstruction import ROWS_AT_A_TIME, decoded, measured_errors, require_parts
from coxlmm.states import States, StatesGroup

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

    from coxlmm.evaluation import Evaluation
    from coxlmm.explanation import Explanation, HeatMaps
    from coxlmm.intervention import Intervention
    from coxlmm.matching import ConceptMatching
    from coxlmm.models import LMM


@dataclass(eq=False, repr=False)
class ConceptDictionary:
    """Concepts of a model at a word of interest, with their meaning in words and images.

    Made by :meth:`fit` or :meth:`from_pretrained`.

    Attributes
    ----------
    estimator : scikit-learn style estimator, fitted
        With ``components_`` (n_components x n_features) and ``transform``.
    codes : ndarray, n_samples x n_components
        Activations of the samples of the fit. Those of PCA are signed. Only a positive one activates a concept: a
        negative one says that the state lies on the other side of the mean, and the concept's words and images do not.
    sample_ids, captions : lists of str, n_samples
    sample_words : list of str, n_samples, or None
        Which word each sample is of, where several share the dictionary.
    manifest : dict
        Where the states came from: see :class:`coxlmm.States`.
    relative_error : float
        ``||X - decode(codes)||_F^2 / ||X||_F^2`` over the samples of the fit: what part of the states' squared norm the
        decomposition misses. What :meth:`decode` returns is ``codes @ components`` for most estimators; PCA's mean is
        added to it; k-means has the nearest center.
    error_shares : ndarray, n_components
        See :attr:`Concept.share_of_error`.
    words, raw_words : lists of lists of Word, n_components
    images : list of lists of ImageHit, n_components
    thumbnails : dict of bytes
        Of samples by their number: those that the report's sample browser shows.
    stability : ndarray, n_components, or None
        Of every concept the cosine with the concept that it is matched with in fits from other seeds, mean over seeds.
    effects : list of Effect (None where it could not be measured), n_components, or None
    measures : dict
        JSON values: what :meth:`evaluate` found, for the model card.
    """

    estimator: Any
    codes: np.ndarray
    sample_ids: list[str]
    captions: list[str]
    manifest: dict[str, Any]
    relative_error: float
    error_shares: np.ndarray
    words: list[list[Word]] = field(default_factory=list)
    images: list[list[ImageHit]] = field(default_factory=list)
    raw_words: list[list[Word]] = field(default_factory=list)
    thumbnails: dict[int, bytes] = field(default_factory=dict)
    stability: np.ndarray | None = None
    effects: list[Effect | None] | None = None
    measures: dict[str, Any] = field(default_factory=dict)
    sample_words: list[str] | None = None

    @classmethod
    def fit(cls, states: States | StatesGroup, estimator: Any) -> "ConceptDictionary":
        """Fits ``estimator`` to the states, in place, and keeps what came out.

        Parameters
        ----------
        states : States or StatesGroup
            Those of several words at one layer share their concepts: see :meth:`coxlmm.states.StatesGroup.together`.
        estimator : one of :mod:`coxlmm.estimators`, or any with ``fit_transform``, ``transform`` and ``components_``
            Of which ``codes @ components_`` are the states, after ``mean_`` has been added where there is one.

        Raises
        ------
        ValueError
            What the estimator raises for states it cannot be fitted to: fewer samples than concepts, NaN. If its
            ``inverse_transform`` shows that its codes are no coefficients of its components. If no state activates any
            concept: the penalty is too large. If states are of several layers.
        """
        if isinstance(states, StatesGroup):
            states = states.together()
        codes = np.asarray(estimator.fit_transform(states.X))
        require_parts(estimator, codes)
        if not (codes > 0).any():
            norm = float(np.linalg.norm(states.X, axis=1).mean())
            advice = "; lower its l1" if hasattr(estimator, "l1") else ""
            raise ValueError(f"no state activates any concept of {estimator!r}: states of norm {norm:.4g}{advice}")
        relative_error, error_shares = measured_errors(states.X, codes, estimator)
        return cls(
            estimator=estimator,
            codes=codes,
            sample_ids=list(states.sample_ids),
            captions=list(states.captions),
            manifest=dict(states.manifest),
            sample_words=states.words,
            relative_error=relative_error,
            error_shares=error_shares,
        )

    def ground(
        self,
        lmm: "LMM",
        *,
        n_images: int = 8,
        n_words: int = 10,
        images: ImageSource = None,
        word_filter: WordChoice = None,
        contrast: Contrast = "shared",
        diverse: bool = False,
        n_thumbnails: int = 400,
    ) -> "ConceptDictionary":
        """Finds the words and images of every concept.

        Parameters
        ----------
        lmm : LMM
            The model that the states came from.
        n_images, n_words : int
            For each concept.
        images : mapping, callable, sequence, iterable of samples, directory, or None
            Where the images of the sample ids are: see :func:`coxlmm.grounding.ground_images`.
        word_filter : WordFilter, PublishedFilter or "published", optional
            Which tokens are words: see :func:`coxlmm.grounding.ground_words`.
        contrast : {"shared", "mean", "none"}
            What tells concepts of one word apart, likewise. Chosen by measurement: ``benchmarks/words_of_concepts.py``.
        diverse : bool
            Whether images that are nearly the same count as one: see :func:`coxlmm.grounding.ground_images`.
        n_thumbnails : int
            Samples, evenly spread over all, that the report's sample browser shows: at most so many, of those whose
            image can be had.

        Returns
        -------
        ConceptDictionary
            Itself.

        Raises
        ------
        ValueError
            If an image is missing or unreadable, or the model has another number of features.

        Warns
        -----
        UserWarning
            If the layer is too early for words: see :func:`coxlmm.grounding.rank_of_word`, whose result for the mean
            state is kept in ``manifest["grounding"]`` with the choices made here.
        """
        # States of the published code may be those behind the final norm, to which it is not applied again.
        normalized = bool(self.manifest.get("normalized"))
        accept = as_filter(word_filter)
        words = ground_words(
            self.components,
            lmm,
            n_words,
            accept,
            normalized=normalized,
            captions=self.captions,
            contrast=contrast,
            presence=Presence.of(self.codes, getattr(self.estimator, "mean_", None)),
        )
        rank = self._rank_of_word(lmm, normalized)
        self.images, self.thumbnails = illustrate(
            self.codes, self.sample_ids, self.captions, n_images, images, diverse=diverse, n_thumbnails=n_thumbnails
        )
        self.words = words
        self.raw_words = raw_words(self.components, lmm, n_words, normalized=normalized)
        chosen = {"n_words": n_words, "contrast": contrast, "word_filter": accept.to_dict()}
        self.manifest["grounding"] = chosen if rank is None else chosen | {"rank_of_word": rank}
        if rank is not None and rank > READABLE_RANK:
            warnings.warn(
                f"the mean state does not decode to {self.word!r} (place {rank} of its words, or later), although it "
                f"predicts it: layer {self.manifest.get('layer')} does not speak the language of the output embedding "
                "yet, and the words of concepts are not to be trusted there; their images are",
                stacklevel=2,
            )
        return self

    def _rank_of_word(self, lmm: "LMM", normalized: bool) -> int | None:
        """See :func:`coxlmm.grounding.rank_of_word`; of several words the worst; None where states predict none."""
        predicting = {"position": "predicting", "stream": "residual", "token": "first"}
        if not self.word or any(self.manifest.get(name, value) != value for name, value in predicting.items()):
            return None
        of_row = np.array([self.word] * self.n_samples if self.sample_words is None else self.sample_words)
        means = {
            word: self.decode(self.codes[of_row == word][:ROWS_AT_A_TIME]).mean(axis=0) for word in set(of_row.tolist())
        }
        inflections = self.manifest.get("inflections")
        return max(
            rank_of_word(mean, lmm, word, inflections=inflections, normalized=normalized)
            for word, mean in means.items()
        )

    def localise(self, lmm: "LMM", *, images: ImageSource = None, **options: Any) -> "ConceptDictionary":
        """Finds where in its images every concept is: see :func:`coxlmm.localisation.localise`."""
        from coxlmm.localisation import localise

        return localise(self, lmm, images=images, **options)

    def encode(self, states: States | ArrayLike) -> np.ndarray:
        """Activations of states, seen or unseen: n_samples x n_components.

        Raises
        ------
        ValueError
            If the states have another number of features, or come from another layer than the dictionary's.
        """
        if isinstance(states, States):
            layer, own = states.manifest.get("layer"), self.manifest.get("layer")
            if layer is not None and own is not None and layer != own:
                raise ValueError(f"the states are of layer {layer}, but the dictionary is of layer {own}")
            states = states.X
        X = states if hasattr(states, "shape") else np.asarray(states)
        if len(X.shape) != 2 or X.shape[1] != self.components.shape[1]:
            raise ValueError(
                f"states must be n_samples x {self.components.shape[1]}, like those of the fit, got an array of shape "
                f"{tuple(X.shape)}: are they of the same model ({self.manifest.get('model_id')})?"
            )
        return np.asarray(self.estimator.transform(X))

    def decode(self, codes: ArrayLike) -> np.ndarray:
        """States that activations stand for, n_samples x n_features: see :attr:`relative_error`.

        Raises
        ------
        ValueError
            If there are not as many activations a sample as concepts.
        """
        V = np.asarray(codes)
        if V.ndim != 2 or V.shape[1] != self.n_concepts:
            raise ValueError(f"codes must be n_samples x {self.n_concepts}, got an array of shape {V.shape}")
        return decoded(V, self.estimator)

    def explain(
        self,
        lmm: "LMM",
        image: Any,
        *,
        n_concepts: int = 5,
        heat_maps: "HeatMaps" = "auto",
        word: str | None = None,
    ) -> "Explanation":
        """The concepts behind the word in the model's caption of one image: see :func:`coxlmm.explanation.explain`."""
        from coxlmm.explanation import explain

        return explain(self, lmm, image, n_concepts=n_concepts, heat_maps=heat_maps, word=word)

    def evaluate(self, lmm: "LMM", states: States, held_out: States, **options: Any) -> "Evaluation":
        """Measures it beside baselines, chance and a ceiling: see :func:`coxlmm.evaluation.evaluate`."""
        from coxlmm.evaluation import evaluate

        return evaluate(self, lmm, states, held_out, **options)

    def measure_stability(self, states: States, n_seeds: int = 4) -> "ConceptDictionary":
        """Fits again from other seeds: see :func:`coxlmm.evaluation.stability.measure_stability`."""
        from coxlmm.evaluation.stability import measure_stability

        return measure_stability(self, states, n_seeds)

    def intervene(self, lmm: "LMM", image: Any, concept: int, **options: Any) -> "Intervention":
        """What the model says without a concept, or with more: see :func:`coxlmm.intervention.intervene`."""
        from coxlmm.intervention import intervene

        return intervene(self, lmm, image, concept, **options)

    def measure_effects(self, lmm: "LMM", images: ImageSource = None, **options: Any) -> "ConceptDictionary":
        """Finds out what removing each concept changes: see :func:`coxlmm.intervention.measure_effects`."""
        from coxlmm.intervention import measure_effects

        self.effects = measure_effects(self, lmm, images, **options)
        return self

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        explanations: Iterable["Explanation"] = (),
        title: str | None = None,
    ) -> Path:
        """Writes one self-contained HTML page about the dictionary: see :func:`coxlmm.report.write_report`."""
        from coxlmm.report import write_report

        return write_report(self, path, explanations=explanations, title=title)

    def match(self, other: "ConceptDictionary", *, codes: bool | None = None) -> "ConceptMatching":
        """Which concept is which of another dictionary: see :func:`coxlmm.matching.match_concepts`."""
        from coxlmm.matching import match_concepts

        return match_concepts(self, other, codes=codes)

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        concepts: Sequence[int] | None = None,
        n_images: int = 5,
        n_words: int = 5,
        heat: bool = False,
    ) -> "Figure":
        """A figure of matplotlib with the concepts' images and words: see :func:`coxlmm.plots.concepts_figure`."""
        from coxlmm.plots import concepts_figure

        return concepts_figure(self, concepts, n_images=n_images, n_words=n_words, heat=heat, path=path)

    def save_pretrained(self, path: str | os.PathLike[str]) -> Path:
        """Writes a directory for :meth:`from_pretrained`: see :func:`coxlmm.serialization.save`."""
        from coxlmm.serialization import save

        return save(self, path)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> "CommitInfo":
        """Puts it into a repository of the Hugging Face hub: see :func:`coxlmm.serialization.push`."""
        from coxlmm.serialization import push

        options = {"private": private, "token": token, "commit_message": commit_message}
        return push(self, repo_id, revision=revision, create_pr=create_pr, **options)

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *, revision: str | None = None, token: str | bool | None = None
    ) -> "ConceptDictionary":
        """Reads what :meth:`save_pretrained` or :meth:`push_to_hub` wrote.

        ``path`` is a directory, or else the name of a repository of the hub, "user/name", of which ``revision`` may be
        a branch, a tag or a commit: see :func:`coxlmm.serialization.load` and :func:`coxlmm.serialization.locate`.
        """
        from coxlmm.serialization import load, locate

        return load(locate(path, revision=revision, token=token))

    @property
    def components(self) -> np.ndarray:
        """Concept vectors, n_components x n_features, in the space of states before the final norm."""
        return np.asarray(self.estimator.components_)

    @property
    def word(self) -> str | list[str] | None:
        """The word of interest, or those that share the dictionary."""
        return self.manifest.get("word")

    @property
    def words_of_interest(self) -> list[str]:
        """The word of interest, those that share the dictionary, or none."""
        word = self.word
        return word if isinstance(word, list) else [] if word is None else [word]

    @property
    def model_name(self) -> str | None:
        """The model's repository, or the last part of its path: without the folders of the machine that it was on."""
        model = self.manifest.get("model_id")
        return public_name(model) if model else model

    @property
    def n_concepts(self) -> int:
        return self.codes.shape[1]

    @property
    def n_samples(self) -> int:
        return self.codes.shape[0]

    @property
    def mean_active(self) -> float:
        """Concepts that a sample of the fit activates, on average."""
        return float(np.count_nonzero(self.codes > 0) / self.n_samples)

    @property
    def concepts(self) -> list[Concept]:
        """All concepts, in the order of ``components``."""
        activation = np.abs(self.codes).sum(axis=0, dtype=np.float64)
        shares = activation / (activation.sum() or 1.0)
        active = np.count_nonzero(self.codes > 0, axis=0)
        return [
            Concept(
                k,
                list(self.words[k]) if self.words else [],
                list(self.images[k]) if self.images else [],
                int(active[k]),
                float(shares[k]),
                float(self.error_shares[k]),
                raw_words=list(self.raw_words[k]) if self.raw_words else [],
                stability=None if self.stability is None else float(self.stability[k]),
                effect=None if self.effects is None else self.effects[k],
            )
            for k in range(self.n_concepts)
        ]

    def __repr__(self) -> str:
        return (
            f"ConceptDictionary(word={self.word!r}, n_concepts={self.n_concepts}, n_samples={self.n_samples}, "
            f"model_id={self.manifest.get('model_id')!r}, layer={self.manifest.get('layer')}, "
            f"relative_error={self.relative_error:.3g})"
        )
