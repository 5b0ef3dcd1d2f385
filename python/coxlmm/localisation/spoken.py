"""An image, what the model says about it, and the state that a dictionary explains: as it changes with the image."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from coxlmm.architecture import UnsupportedModelError, as_written
from coxlmm.dictionary import ConceptDictionary
from coxlmm.generation import Record, continued, hidden_of, read
from coxlmm.models import batches
from coxlmm.origin import module_of, word_span

if TYPE_CHECKING:
    from coxlmm.models import LMM


@dataclass(frozen=True)
class Spoken:
    """One image and its caption, which the model reads whatever becomes of the image (teacher forcing).

    Attributes
    ----------
    dictionary : ConceptDictionary
        Which says at which layer and position the state is.
    lmm : LMM
    image : PIL image
    tokens : list of int, or None
        Those of the caption; not needed for what the visual tokens alone say.
    word : str, optional
        Which one, where several share the dictionary. Default: the one that comes first.
    """

    dictionary: ConceptDictionary
    lmm: "LMM"
    image: Image.Image
    tokens: list[int] | None = None
    word: str | None = None

    @cached_property
    def steps(self) -> list[int]:
        """Which states of the caption, of which entry ``g`` predicts token ``g``, are averaged."""
        manifest = self.dictionary.manifest
        position = manifest.get("position", "predicting")
        if position not in ("predicting", "word"):
            return [0]
        span = word_span(self.lmm, {**manifest, "word": self.word or self.dictionary.word}, self.tokens)
        first = span.start + (position == "word")
        last = first + span.stop - span.start
        token = manifest.get("token", "first")
        return {"first": [first], "last": [last - 1], "mean": list(range(first, last))}[token]

    def states(self, images: Sequence[Image.Image], batch_size: int = 16) -> np.ndarray:
        """The state with each of ``images`` in the image's place: n_images x n_features, float32."""
        position = self.dictionary.manifest.get("position", "predicting")
        found = []
        for batch in batches(images, batch_size):
            inputs = self.lmm.inputs(batch)
            visual = self.lmm.visual_positions(inputs) if position in ("visual", "visual-mean") else None
            kept = read(
                self.lmm, inputs, [self.tokens] * len(batch), Record([module_of(self.lmm, self.dictionary)], visual)
            )
            if visual is None:
                rows = kept.states[0][self.steps].mean(dim=0)
            else:
                rows = torch.stack([states.mean(dim=0) for states in kept.visual[0]])
            found.append(rows.float().cpu().numpy())
        return np.concatenate(found)

    def activations(self, images: Sequence[Image.Image], batch_size: int = 16) -> np.ndarray:
        """The activations with each of ``images`` in the image's place: n_images x n_concepts."""
        return self.dictionary.encode(self.states(images, batch_size))

    def sensitivity(self, directions: np.ndarray, fractions: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """How the state moves along directions with the visual embeddings that enter the first decoder layer.

        Parameters
        ----------
        directions : ndarray, n_directions x n_features
        fractions : sequence of float
            Where on the way to look: at 0 all embeddings are their mean over the image, at 1 they are what they are.

        Returns
        -------
        differences : ndarray, n_visual_tokens x n_embedding_features
            Of the embeddings from their mean.
        gradients : ndarray, n_directions x n_visual_tokens x n_embedding_features
            Of the inner product of the state with each direction, mean over the fractions.

        Raises
        ------
        UnsupportedModelError
            If the visual tokens do not enter the first decoder layer at positions of their own, or its layers pass no
            gradients on.
        """
        inputs = self.lmm.inputs([self.image])
        visual = self.lmm.visual_positions(inputs)[0]
        found = [self._gradients(inputs, visual, directions, fraction) for fraction in fractions]
        return found[0][0], np.mean([gradients for _, gradients in found], axis=0)

    def _gradients(
        self, inputs: dict[str, Any], visual: torch.Tensor, directions: np.ndarray, fraction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        lmm = self.lmm
        with (
            torch.enable_grad(),
            as_written(),
            _entering(lmm, visual, fraction) as entered,
            _leaving(module_of(self.lmm, self.dictionary)) as left,
        ):
            lmm.model(**continued(lmm, inputs, [self.tokens]), use_cache=False)
            if len(entered) != 1 or len(left) != 1:
                raise UnsupportedModelError(f"{type(lmm.model).__name__} does not read a caption in one pass")
            hidden = left[0][0]
            if self.dictionary.manifest.get("position") == "visual-mean":
                state = hidden[: len(visual)][visual.to(hidden.device)].mean(dim=0)
            else:
                state = hidden[-len(self.tokens) - 1 :][self.steps].mean(dim=0)
            if not state.requires_grad:
                raise UnsupportedModelError(f"the layers of {type(lmm.model).__name__} pass no gradients on")
            along = torch.as_tensor(directions, dtype=torch.float32, device=state.device) @ state.float()
            differences, embeddings = entered[0]
            gradients = [
                torch.autograd.grad(value, embeddings, retain_graph=k + 1 < len(along))[0]
                for k, value in enumerate(along)
            ]
        return differences.float().cpu().numpy(), torch.stack(gradients).float().cpu().numpy()


@contextmanager
def _entering(lmm: "LMM", visual: torch.Tensor, fraction: float) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Lets visual embeddings enter the first decoder layer that lie between their mean and themselves.

    What is yielded are their differences from the mean, and the embeddings that enter instead, as a leaf of what is
    differentiated.
    """
    entered: list[tuple[torch.Tensor, torch.Tensor]] = []

    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        hidden = (args[0] if args else kwargs["hidden_states"]).detach().clone()
        rows = visual.nonzero()[:, 0].to(hidden.device)
        own = hidden[0, rows]
        differences = own - own.mean(dim=0)
        embeddings = (own - (1 - fraction) * differences).requires_grad_(True)
        hidden[0, rows] = embeddings
        entered.append((differences, embeddings))
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

    handle = lmm.decoder_layers[0].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield entered
    finally:
        handle.remove()


@contextmanager
def _leaving(module: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """What a module gives, and is differentiated."""
    left: list[torch.Tensor] = []

    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        left.append(hidden_of(output, 1))

    handle = module.register_forward_hook(hook)
    try:
        yield left
    finally:
        handle.remove()
