"""CLIPScore: how well words describe an image, as a model of images and texts sees it."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from coxlmm.images import open_image
from coxlmm.names import public_name

_SCALE = 2.5  # of the source: it stretches CLIP's cosines, which hardly exceed 0.4, over 0 to 1
_BATCH = 32


def described_by(words: Sequence[str]) -> str:
    """The text that CLIPScore compares with an image."""
    return "A photo is described by the words " + ", ".join(words)


def clip_score(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """``2.5 * max(cos, 0)`` of each row of ``images`` with the same row of ``texts``, both of unit length.

    Source: Hessel, Holtzman, Forbes, Le Bras, Choi: CLIPScore, EMNLP 2021, arXiv 2104.08718.
    """
    return _SCALE * np.maximum(np.einsum("nd,nd->n", images, texts), 0.0)


class ClipModel:
    """A CLIP, a SigLIP, or another model of transformers that embeds images and texts in one space.

    Parameters
    ----------
    model : PreTrainedModel with ``get_image_features`` and ``get_text_features``
    processor : ProcessorMixin

    Raises
    ------
    ValueError
        If the model does not embed both.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        if not all(hasattr(model, name) for name in ("get_image_features", "get_text_features")):
            raise ValueError(
                f"CLIPScore needs a model that embeds images and texts, such as CLIP or SigLIP: {type(model).__name__} "
                f"has no get_image_features and get_text_features"
            )
        self.model = model.eval()
        self.processor = processor
        self._texts: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, clip: Any) -> "ClipModel":
        """From itself, from a directory or repository, or from a pair of model and processor."""
        if isinstance(clip, cls):
            return clip
        if isinstance(clip, (str, os.PathLike)):
            import torch
            from transformers import AutoModel, AutoProcessor

            device = "cuda" if torch.cuda.is_available() else "cpu"
            return cls(AutoModel.from_pretrained(clip).to(device), AutoProcessor.from_pretrained(clip))
        if isinstance(clip, Sequence) and len(clip) == 2:
            return cls(*clip)
        raise ValueError(f"clip must be a path or a pair (model, processor), got {type(clip).__name__}")

    @property
    def name(self) -> str:
        """Its repository or the last part of its path, or else its class."""
        path = getattr(self.model.config, "_name_or_path", "")
        return public_name(path) if path else type(self.model).__name__

    def images(self, images: Iterable[Any]) -> np.ndarray:
        """Embeddings of unit length, n x n_dimensions, of images of any kind that the library opens.

        They are opened when their turn comes, and not held.
        """
        pictures = (open_image(image, i) for i, image in enumerate(images))
        return self._embedded(pictures, lambda batch: self._features("image", images=batch))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of unit length, n x n_dimensions; what the model cannot read of a long text is cut off."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        options: dict[str, Any] = {"truncation": True, "max_length": self._longest()}
        # SigLIP has learned from texts of full length alone, and reads the padding.
        options["padding"] = "max_length" if self.model.config.model_type.startswith("siglip") else True
        if new:
            embedded = self._embedded(new, lambda batch: self._features("text", text=batch, **options))
            self._texts.update(zip(new, embedded, strict=True))
        return np.stack([self._texts[text] for text in texts])

    def _longest(self) -> int:
        limits = [self.processor.tokenizer.model_max_length]
        limits.append(getattr(self.model.config.get_text_config(), "max_position_embeddings", limits[0]))
        return min(limits)

    def _features(self, kind: str, **inputs: Any) -> Any:
        import torch

        encoded = self.processor(**inputs, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            found = getattr(self.model, f"get_{kind}_features")(**encoded)
        return getattr(found, "pooler_output", found)

    def _embedded(self, items: Iterable[Any], features: Callable[[list[Any]], Any]) -> np.ndarray:
        import torch

        from coxlmm.models import batches

        found = torch.cat([features(batch).float().cpu() for batch in batches(items, _BATCH)])
        return torch.nn.functional.normalize(found, dim=-1).numpy()
