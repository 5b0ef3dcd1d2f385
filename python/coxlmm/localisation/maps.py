"""Heat maps: how much each part of an image has to do with a concept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from coxlmm.dictionary import ConceptDictionary
from coxlmm.localisation.alteration import covered, mean_color
from coxlmm.localisation.grid import grid_of
from coxlmm.localisation.spoken import Spoken

if TYPE_CHECKING:
    from coxlmm.models import LMM

Method = Literal["states", "gradient", "occlusion"]
# Rows and columns in which occlusion covers an image: one forward pass a cell.
OCCLUSION_GRID = (8, 8)
# Of the way from an image that is alike everywhere: see gradient_maps.
GRADIENT_STEPS = 4
# By how much of its norm, spread over all features, a state is moved to see how its activations move.
_STEP = 1e-4


def visual_states(dictionary: ConceptDictionary, lmm: "LMM", images: Sequence[Image.Image]) -> list[np.ndarray]:
    """The states at the visual tokens of each image, at the dictionary's layer and stream.

    Returns
    -------
    list of ndarrays of float32, n_visual_tokens x n_features

    Raises
    ------
    UnsupportedModelError
        If the language model does not read visual tokens as a part of its text.
    """
    manifest = dictionary.manifest
    states = lmm.extract(
        images,
        None,
        layer=manifest["layer"],
        stream=manifest.get("stream", "residual"),
        position="visual",
        max_new_tokens=1,  # of what is said afterwards these states know nothing
        batch_size=len(images),
        workers=0,
        on_error="raise",
    )
    starts = np.flatnonzero(states.positions == 0)
    return np.split(states.X, starts[1:])


def states_maps(dictionary: ConceptDictionary, lmm: "LMM", images: Sequence[Image.Image]) -> list[np.ndarray]:
    """What the states at the visual tokens themselves have of each concept.

    By how much a visual token's state differs from the image's mean one, along what tells the concept from the mean of
    all concepts. Codes would serve worse: the states of visual tokens have another mean than those that predict a word,
    which codes describe. Of a dictionary of just these states, it is the codes.

    Returns
    -------
    list of ndarrays, n_concepts x rows x columns
        One an image.

    Raises
    ------
    UnsupportedModelError
        If the visual tokens are not one grid over the image: see :func:`grid_of`.
    """
    # It depends on the size alone.
    grids = {size: grid_of(lmm, image) for size, image in {image.size: image for image in images}.items()}
    found = visual_states(dictionary, lmm, images)
    if dictionary.manifest.get("position") == "visual":
        values = [dictionary.encode(states) for states in found]
    else:
        directions = dictionary.components - dictionary.components.mean(axis=0)
        values = [(states - states.mean(axis=0)) @ directions.T for states in found]
    return [
        np.stack([grids[image.size].on_image(of_concept) for of_concept in of_image.T])
        for image, of_image in zip(images, values, strict=True)
    ]


def gradient_maps(spoken: Spoken, concepts: Sequence[int], n_steps: int = GRADIENT_STEPS) -> np.ndarray:
    """What each visual embedding that enters the language model contributes to activations: integrated gradients.

    On the straight way from an image that is alike everywhere, every visual embedding being their mean, to the image
    as it is, the gradient of an activation with respect to each embedding, times what that embedding changes by, summed
    over features (Sundararajan et al., ICML 2017). Over all visual tokens it sums to what the activation gains on that
    way, up to the number of steps, if the concepts that are active at its end are taken to be active on all of it.

    Parameters
    ----------
    spoken : Spoken
    concepts : sequence of int
    n_steps : int
        Points of the way that are looked at: one forward pass each, and one backward pass for each concept.

    Returns
    -------
    ndarray, n_concepts x rows x columns
        Signed.

    Raises
    ------
    UnsupportedModelError
        If the visual tokens are not one grid over the image, or do not enter the first decoder layer.
    """
    grid = grid_of(spoken.lmm, spoken.image)
    state = spoken.states([spoken.image])[0]
    directions = code_gradients(spoken.dictionary, state)[list(concepts)]
    differences, gradients = spoken.sensitivity(directions, (np.arange(n_steps) + 0.5) / n_steps)
    return np.stack([grid.on_image(values) for values in np.einsum("td,ktd->kt", differences, gradients)])


def code_gradients(dictionary: ConceptDictionary, state: np.ndarray) -> np.ndarray:
    """The gradient of every activation with respect to the state: n_concepts x n_features.

    By central differences: activations are linear in the state as long as the same concepts are active, and every
    estimator has a gradient so. Where a concept is not active it is 0.
    """
    x = np.asarray(state, dtype=np.float64)
    step = _STEP * np.linalg.norm(x) / np.sqrt(len(x))
    moved = step * np.eye(len(x))
    return (dictionary.encode(x + moved) - dictionary.encode(x - moved)).T / (2 * step)


def occlusion_maps(
    spoken: Spoken, concepts: Sequence[int], grid: tuple[int, int] = OCCLUSION_GRID, batch_size: int = 16
) -> np.ndarray:
    """What activations lose when a part of the image is covered with the image's mean colour.

    The caption stays what it was (the model reads it), whatever it would say about the covered image.

    Parameters
    ----------
    spoken : Spoken
    concepts : sequence of int
    grid : (int, int)
        Rows and columns of parts: one forward pass each.
    batch_size : int

    Returns
    -------
    ndarray, n_concepts x rows x columns
        The activation of the whole image minus that of the covered one: signed.
    """
    rows, columns = grid
    color = mean_color(spoken.image)
    cells = np.eye(rows * columns, dtype=bool).reshape(-1, rows, columns)
    pictures = [spoken.image, *(covered(spoken.image, cell, color) for cell in cells)]
    whole, *without = spoken.activations(pictures, batch_size)[:, list(concepts)]
    return (whole - np.stack(without)).T.reshape(-1, rows, columns)
