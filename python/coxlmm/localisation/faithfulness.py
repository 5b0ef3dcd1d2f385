"""Whether a heat map tells the truth: what becomes of an activation as the image is taken away in the map's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from coxlmm.dictionary import ConceptDictionary
from coxlmm.images import open_image
from coxlmm.localisation.alteration import covered, mean_color
from coxlmm.localisation.spoken import Spoken

if TYPE_CHECKING:
    from coxlmm.models import LMM


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Deletion and insertion curves of a heat map (Petsiuk et al., "RISE", BMVC 2018), beside random orders.

    Attributes
    ----------
    fractions : ndarray, n_steps + 1
        Parts of the image that are covered, or shown: from 0 to 1.
    deletion : ndarray, n_steps + 1
        Activation when so much of the image, the hottest cells first, is covered with the image's mean colour.
    insertion : ndarray, n_steps + 1
        Activation when only so much of it, the hottest cells first, is shown.
    random_deletion, random_insertion : ndarrays, n_random x (n_steps + 1)
        The same with the cells in random orders.
    """

    fractions: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve, in parts of the whole image's activation: lower is more faithful."""
        return self._area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve, in parts of the whole image's activation: higher is more faithful."""
        return self._area(self.insertion)

    @property
    def random_deletion_area(self) -> float:
        """Mean over the random orders."""
        return float(np.mean([self._area(curve) for curve in self.random_deletion]))

    @property
    def random_insertion_area(self) -> float:
        """Mean over the random orders."""
        return float(np.mean([self._area(curve) for curve in self.random_insertion]))

    def _area(self, curve: np.ndarray) -> float:
        whole = self.deletion[0]
        area = np.sum(np.diff(self.fractions) * (curve[1:] + curve[:-1]) / 2)
        return float(area / whole) if whole else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Curves and areas as JSON values."""
        names = ("fractions", "deletion", "insertion", "random_deletion", "random_insertion")
        areas = ("deletion_area", "insertion_area", "random_deletion_area", "random_insertion_area")
        return {name: getattr(self, name).tolist() for name in names} | {name: getattr(self, name) for name in areas}


def faithfulness(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    image: Any,
    heat: np.ndarray,
    concept: int,
    tokens: list[int],
    *,
    n_steps: int = 12,
    n_random: int = 4,
    seed: int = 0,
    batch_size: int = 16,
) -> Faithfulness:
    """The activation of a concept at its word as the image goes, or comes, in the order of a heat map.

    The model reads the caption that it wrote about the whole image, whatever is left of it.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
    image : PIL image, path, or whatever else :func:`coxlmm.images.open_image` opens
    heat : ndarray, rows x columns
        Of the whole image; ties go in the order of rows.
    concept : int
    tokens : list of int
        Those of the caption, as in ``States.tokens`` and ``Explanation.tokens``.
    n_steps : int
        Points of a curve after the first; at most the number of cells.
    n_random : int
        Random orders of the cells to compare with.
    seed : int
        Of these.
    batch_size : int

    Raises
    ------
    ValueError
        If ``heat`` is not a matrix, there is no such concept, or ``n_steps`` or ``n_random`` is less than 1.
    """
    heat = np.asarray(heat)
    if heat.ndim != 2 or not heat.size:
        raise ValueError(f"heat must be rows x columns, got an array of shape {heat.shape}")
    if not 0 <= concept < dictionary.n_concepts:
        raise ValueError(f"there is no concept {concept}: they are 0 to {dictionary.n_concepts - 1}")
    for name, value in (("n_steps", n_steps), ("n_random", n_random)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng(seed)
    orders = [np.argsort(-heat, axis=None, kind="stable"), *(rng.permutation(heat.size) for _ in range(n_random))]
    spoken = Spoken(dictionary, lmm, open_image(image, 0), tokens)
    fractions, activations = curves(spoken, orders, heat.shape, n_steps=n_steps, batch_size=batch_size)
    own = activations[..., concept]
    return Faithfulness(fractions, *own[0], own[1:, 0], own[1:, 1])


def curves(
    spoken: Spoken, orders: Sequence[np.ndarray], shape: tuple[int, int], *, n_steps: int, batch_size: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """The activations of all concepts as an image goes, and comes, in several orders of its cells.

    Parameters
    ----------
    spoken : Spoken
    orders : sequence of ndarrays of int
        Permutations of the cells of a grid of ``shape`` over the image.
    shape : (int, int)
    n_steps, batch_size : int

    Returns
    -------
    fractions : ndarray, n_points
    activations : ndarray, n_orders x 2 x n_points x n_concepts
        First of deletion, then of insertion.
    """
    image, size = spoken.image, shape[0] * shape[1]
    color = mean_color(image)
    counts = np.unique(np.linspace(0, size, n_steps + 1).round().astype(int))
    ends = [image, Image.new("RGB", image.size, color)]  # the same in every order
    between = []
    for order in orders:
        ranks = np.empty(size, dtype=int)
        ranks[order] = np.arange(size)
        gone = [ranks.reshape(shape) < n for n in counts[1:-1]]
        between += [covered(image, cells, color) for cells in gone]
        between += [covered(image, ~cells, color) for cells in gone]
    whole, nothing, *rest = spoken.activations([*ends, *between], batch_size)
    activations = np.empty((len(orders), 2, len(counts), len(whole)))
    activations[:, :, 1:-1] = np.reshape(rest, (len(orders), 2, len(counts) - 2, len(whole)))
    activations[:, 0, 0] = activations[:, 1, -1] = whole
    activations[:, 0, -1] = activations[:, 1, 0] = nothing
    return counts / size, activations
