"""The concepts of a model at a word: a fitted estimator, what it was fitted on, and what its concepts mean."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from coxlmm.grounding import ImageHit, ImageSource, Word, WordFilter, ground_images, ground_words
from coxlmm.states import States

if TYPE_CHECKING:
    from coxlmm.explanation import Explanation
    from coxlmm.models import LMM

# Rows of the residual that are held at a time.
_BLOCK = 1024


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
        Samples of the fit that activate it.
    share_of_activation : float, 0 to 1
        Its activations over all samples, divided by those of all concepts.
    share_of_error : float
        What leaving it out would cost: the increase of the squared reconstruction error when its activations are set to
        zero and all others stay, divided by the squared norm of the states. It is in the unit of
        :attr:`ConceptDictionary.relative_error`. The shares of all concepts do not sum to 1.
    """

    index: int
    words: list[Word]
    images: list[ImageHit]
    n_active: int
    share_of_activation: float
    share_of_error: float


@dataclass(eq=False, repr=False)
class ConceptDictionary:
    """Concepts of a model at a word of interest, with their meaning in words and images.

    Made by :meth:`fit` or :meth:`from_pretrained`.

    Attributes
    ----------
    estimator : scikit-learn style estimator, fitted
        With ``components_`` (n_components x n_features) and ``transform``.
    codes : ndarray, n_samples x n_components
        Activations of the samples of the fit.
    sample_ids, captions : lists of str, n_samples
    manifest : dict
        Where the states came from: see :class:`coxlmm.States`.
    relative_error : float
        ``||X - codes @ components||_F^2 / ||X||_F^2`` over the samples of the fit.
    error_shares : ndarray, n_components
        See :attr:`Concept.share_of_error`.
    words : list of lists of Word, n_components
    images : list of lists of ImageHit, n_components
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

    @classmethod
    def fit(cls, states: States, estimator: Any) -> "ConceptDictionary":
        """Fits ``estimator`` to the states, in place, and keeps what came out.

        Parameters
        ----------
        states : States
        estimator : SemiNMF, or any estimator with ``fit_transform``, ``transform`` and ``components_``

        Raises
        ------
        ValueError
            What the estimator raises for states it cannot be fitted to: fewer samples than concepts, NaN. If it is not
            of the kind that concepts are measured by: ``X ~ codes @ components_`` with codes of at least 0, and no mean
            taken off before. If no state activates any concept: the penalty is too large.
        """
        codes = np.asarray(estimator.fit_transform(states.X))
        _require_parts(estimator, codes)
        if not codes.any():
            norm = float(np.linalg.norm(states.X, axis=1).mean())
            raise ValueError(
                f"no state activates any concept of {estimator!r}: states of norm {norm:.4g}; lower its l1"
            )
        relative_error, error_shares = _errors(states.X, codes, np.asarray(estimator.components_))
        return cls(
            estimator=estimator,
            codes=codes,
            sample_ids=list(states.sample_ids),
            captions=list(states.captions),
            manifest=dict(states.manifest),
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
        word_filter: WordFilter | None = None,
    ) -> "ConceptDictionary":
        """Finds the words and images of every concept.

        Parameters
        ----------
        lmm : LMM
            The model that the states came from.
        n_images, n_words : int
            For each concept.
        images : mapping, callable, sequence, directory, or None
            Where the images of the sample ids are: see :func:`coxlmm.grounding.ground_images`.
        word_filter : WordFilter, optional
            Which tokens are words: see :func:`coxlmm.grounding.ground_words`.

        Returns
        -------
        ConceptDictionary
            Itself.

        Raises
        ------
        ValueError
            If an image is missing or unreadable, or the model has another number of features.
        """
        words = ground_words(self.components, lmm, n_words, word_filter)
        self.images = ground_images(self.codes, self.sample_ids, self.captions, n_images, images)
        self.words = words
        return self

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
        X = np.asarray(states)
        if X.ndim != 2 or X.shape[1] != self.components.shape[1]:
            raise ValueError(
                f"states must be n_samples x {self.components.shape[1]}, like those of the fit, got an array of shape "
                f"{X.shape}: are they of the same model ({self.manifest.get('model_id')})?"
            )
        return np.asarray(self.estimator.transform(X))

    def explain(self, lmm: "LMM", image: Any, *, n_concepts: int = 5) -> "Explanation":
        """The concepts behind the word in the model's caption of one image: see :func:`coxlmm.explanation.explain`."""
        from coxlmm.explanation import explain

        return explain(self, lmm, image, n_concepts=n_concepts)

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

    def save_pretrained(self, path: str | os.PathLike[str]) -> Path:
        """Writes a directory for :meth:`from_pretrained`: see :func:`coxlmm.serialization.save`."""
        from coxlmm.serialization import save

        return save(self, path)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> "ConceptDictionary":
        """Reads what :meth:`save_pretrained` wrote: see :func:`coxlmm.serialization.load`."""
        from coxlmm.serialization import load

        return load(path)

    @property
    def components(self) -> np.ndarray:
        """Concept vectors, n_components x n_features, in the space of states before the final norm."""
        return np.asarray(self.estimator.components_)

    @property
    def word(self) -> str | None:
        """The word of interest."""
        return self.manifest.get("word")

    @property
    def model_name(self) -> str | None:
        """The model's repository, or the last part of its path: without the folders of the machine that it was on."""
        model = self.manifest.get("model_id")
        return os.path.basename(os.path.normpath(model)) if model and os.path.isabs(model) else model

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
        activation = self.codes.sum(axis=0, dtype=np.float64)
        # A fit with too large an l1 activates nothing at all.
        shares = activation / (activation.sum() or 1.0)
        active = np.count_nonzero(self.codes > 0, axis=0)
        nothing: Sequence[list] = [[]] * self.n_concepts
        return [
            Concept(k, list(words), list(images), int(active[k]), float(shares[k]), float(self.error_shares[k]))
            for k, (words, images) in enumerate(zip(self.words or nothing, self.images or nothing, strict=True))
        ]

    def __repr__(self) -> str:
        return (
            f"ConceptDictionary(word={self.word!r}, n_concepts={self.n_concepts}, n_samples={self.n_samples}, "
            f"model_id={self.manifest.get('model_id')!r}, layer={self.manifest.get('layer')}, "
            f"relative_error={self.relative_error:.3g})"
        )


def _require_parts(estimator: Any, codes: np.ndarray) -> None:
    """Refuses decompositions that are no sum of concepts, each present or absent: all measures here assume one."""
    name = type(estimator).__name__
    if getattr(estimator, "mean_", None) is not None:
        raise ValueError(
            f"{name} takes a mean off the states (mean_) before it decomposes them, so codes @ components_ are not the "
            f"states: use an estimator without, such as SemiNMF"
        )
    if codes.size and codes.min() < 0:
        raise ValueError(
            f"{name} gave codes down to {codes.min():.3g}, but a concept is present or absent, never negative: use an "
            f"estimator whose codes are at least 0, such as SemiNMF"
        )


def _errors(X: np.ndarray, codes: np.ndarray, components: np.ndarray) -> tuple[float, np.ndarray]:
    """The squared error of ``codes @ components`` and its increase without each concept, over the squared norm of X."""
    total = squared = 0.0
    increase = np.zeros(codes.shape[1])
    lengths = np.einsum("kd,kd->k", components, components, dtype=np.float64)
    for start in range(0, len(X), _BLOCK):
        x, v = X[start : start + _BLOCK], codes[start : start + _BLOCK].astype(np.float64)
        residual = x - v @ components
        total += float(np.einsum("md,md->", x, x, dtype=np.float64))
        squared += float(np.einsum("md,md->", residual, residual, dtype=np.float64))
        # ||R + v_k u_k||^2 - ||R||^2 = 2 v_k^T R u_k + ||v_k||^2 ||u_k||^2
        increase += 2 * np.einsum("mk,mk->k", v, residual @ components.T) + np.einsum("mk,mk->k", v, v) * lengths
    return (squared / total, increase / total) if total else (0.0, increase)
