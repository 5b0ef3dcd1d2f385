"""A frozen large multimodal model and its processor, as the rest of the library sees them."""

import json
import os
from collections.abc import Iterable, Iterator
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file

from coxlmm.architecture import Architecture, loaded_weights
from coxlmm.errors import CoxlmmError
from coxlmm.generation import generate
from coxlmm.images import open_image
from coxlmm.words import DecodedTokens

if TYPE_CHECKING:
    from coxlmm.extraction import Progress, TokenChoice
    from coxlmm.states import States

IMAGE_MARK = "<image>"
_INSTRUCTION = "Describe the image in one sentence."
_COMPLETION = "A photo of"
# Where neither a chat template nor that will do: what a model was trained on. Florence-2 knows tasks, no continuations.
_COMPLETIONS = {"florence2": "<CAPTION>"}
# Their processors have an image token and place it themselves, so that one in the prompt would be one too many.
_PLACE_IMAGES_THEMSELVES = ("blip-2", "florence2", "instructblip", "instructblipvideo")
_SETTINGS_FILE = "coxlmm.json"
# What of from_pretrained's arguments says where to load from, and so concerns the processor as well as the model.
_SOURCE_ARGUMENTS = ("revision", "token", "cache_dir", "force_download", "local_files_only", "trust_remote_code")


class LayerError(CoxlmmError, IndexError):
    """The model has no such decoder layer."""


class LMM:
    """A frozen image-text model from transformers.

    Parameters
    ----------
    model : PreTrainedModel
        Any model that generates text from images through ``generate``, already loaded, wherever and however: half
        precision, quantised, dispatched. It is frozen in place: ``model.eval()`` and ``requires_grad_(False)``.
    processor : ProcessorMixin
        The processor that belongs to it. A tokenizer without a padding token is given its end-of-sequence token as one.
    prompt : str, optional
        Text to continue, sent as it stands, without a chat template. ``<image>`` marks the image's place, whatever
        the model's own image token is; without a mark the image comes first. Default: the chat template around the
        image and "Describe the image in one sentence.", or "<image>A photo of" where there is no template.

    Attributes
    ----------
    model, processor
    prompt : str
        The prompt as the processor gets it.

    Raises
    ------
    UnsupportedModelError
        If decoder layers, final norm or output embedding cannot be found.

    Notes
    -----
    The state after the last decoder layer is *not* normalised; transformers' ``hidden_states[-1]`` is. With ``h`` a
    row of ``States.X`` of the last layer, the logits that predicted the token are ``unembedding @ normalize(h)``, plus
    the output bias of the few models that have one. Some models then scale the logits (Cohere, Granite) or cap them
    softly (Gemma 2); both are increasing functions, so the ranking of tokens is the same, and neither is applied here.
    """

    def __init__(self, model: PreTrainedModel, processor: Any, *, prompt: str | None = None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.architecture = Architecture.of(model)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.prompt = self._default_prompt() if prompt is None else self._place_image(prompt)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], *, prompt: str | None = None, **kwargs: Any
    ) -> "LMM":
        """Loads a model and its processor from a repository or a local directory.

        Parameters
        ----------
        name_or_path : str or path
        prompt : str, optional
            Default: the one that :meth:`save_pretrained` stored there, or else the class's default.
        **kwargs
            For ``AutoModelForImageTextToText.from_pretrained`` (``dtype``, ``device_map``, ``revision``, ...); those
            that say where to load from go to ``AutoProcessor`` too.
        """
        if os.path.isdir(name_or_path):
            # model_id then names it from any directory, and no local path is taken for a repository.
            name_or_path = os.path.abspath(name_or_path)
        source = {key: kwargs[key] for key in _SOURCE_ARGUMENTS if key in kwargs}
        model = AutoModelForImageTextToText.from_pretrained(name_or_path, **kwargs)
        processor = AutoProcessor.from_pretrained(name_or_path, **source)
        if prompt is None:
            prompt = _stored_prompt(name_or_path, source)
        return cls(model, processor, prompt=prompt)

    def save_pretrained(self, path: str | os.PathLike[str]) -> Path:
        """Writes model, processor and prompt into a directory for :meth:`from_pretrained`."""
        path = Path(path)
        self.model.save_pretrained(path)
        self.processor.save_pretrained(path)
        (path / _SETTINGS_FILE).write_text(json.dumps({"prompt": self.prompt}, ensure_ascii=False) + "\n", "utf-8")
        return path

    @property
    def model_id(self) -> str:
        """The name or path that the model was loaded from; its class's name when it was built in memory."""
        return getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__

    @property
    def revision(self) -> str | None:
        """The commit of the repository that the model was loaded from, where there is one."""
        return getattr(self.model.config, "_commit_hash", None)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        if self.model.device.type == "meta":  # offloaded: accelerate knows where it computes
            hook = getattr(self.model, "_hf_hook", None)
            return torch.device(getattr(hook, "execution_device", None) or "cpu")
        return self.model.device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def n_layers(self) -> int:
        return len(self.decoder_layers)

    @property
    def decoder_layers(self) -> list[nn.Module]:
        """The decoder layers in order."""
        return list(self.architecture.layers)

    @property
    def final_norm(self) -> nn.Module:
        """What the model applies between its last layer and its output embedding."""
        return self.architecture.final_norm

    @property
    def unembedding(self) -> np.ndarray:
        """``W_U``, vocabulary x features, float32: the rows are the directions of the tokens.

        A view of the model's own weights when they are float32 on the CPU, otherwise a copy made at every access.
        """
        with loaded_weights(self.architecture.output_embedding) as embedding:
            return embedding.weight.detach().float().cpu().numpy()

    @cached_property
    def eos_token_ids(self) -> list[int]:
        """The tokens that end a caption."""
        ids = self.model.generation_config.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)

    def layer_index(self, layer: int) -> int:
        """A layer's number from 0, of a number that may count from the end.

        Raises
        ------
        LayerError
            If there is no such layer.
        """
        if not -self.n_layers <= layer < self.n_layers:
            raise LayerError(
                f"layer {layer} is out of range: the model has {self.n_layers} decoder layers, "
                f"0 to {self.n_layers - 1} or -{self.n_layers} to -1"
            )
        return layer % self.n_layers

    @torch.inference_mode()
    def normalize(self, states: ArrayLike) -> np.ndarray:
        """The model's final norm, applied once to every row.

        Parameters
        ----------
        states : array, n x n_features
            States as :class:`~coxlmm.States` holds them, or directions in that space.

        Returns
        -------
        ndarray of float32, n x n_features
            Computed in float32 whatever the model's precision.
        """
        rows = torch.from_numpy(np.array(states, dtype=np.float32, ndmin=2))
        n_features = self.architecture.n_features
        if rows.ndim != 2 or rows.shape[1] != n_features:
            raise ValueError(f"states must be n x {n_features} for this model, got {tuple(rows.shape)}")
        with loaded_weights(self.final_norm) as norm:
            parameters = {name: p.float() for name, p in norm.state_dict().items()}
        if hasattr(norm, "_old_forward"):
            # accelerate's wrapper would load the weights once more, in the model's own precision.
            norm = copy(norm)
            del norm.forward
        device = next(iter(parameters.values())).device if parameters else self.device
        return torch.func.functional_call(norm, parameters, (rows.to(device),)).cpu().numpy()

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens left out, white space as it is."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def decode_token(self, token: int) -> str:
        """Text of one token, special or not, with the space it may begin with."""
        return self.tokenizer.decode([int(token)], clean_up_tokenization_spaces=False)

    def decode_with_spans(self, ids: Iterable[int]) -> DecodedTokens:
        """Text of token ids and the characters that each of them contributes."""
        return DecodedTokens(ids, self.decode)

    def inputs(self, images: list[Any]) -> dict[str, Any]:
        """The model's input for the prompt with each of ``images`` (opened), padded on the left, on its device."""
        encoded = self.processor(
            images=[[image] for image in images],
            text=[self.prompt] * len(images),
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **({"add_special_tokens": False} if self._prompt_has_bos else {}),
        )
        return {key: self._to_model(value) for key, value in encoded.items()}

    def caption(self, images: Iterable[Any], *, batch_size: int = 16, max_new_tokens: int = 32) -> list[str]:
        """What the model writes about each image, greedily, without the prompt.

        Parameters
        ----------
        images : iterable of PIL images, paths, or anything else the processor takes
            Consumed a batch at a time.
        batch_size : int
        max_new_tokens : int

        Returns
        -------
        list of str, stripped

        Raises
        ------
        ValueError
            If an image cannot be read; the message names it.
        """
        captions = []
        for batch in batches(enumerate(as_images(images)), batch_size):
            generated = generate(self, self.inputs([open_image(image, i) for i, image in batch]), max_new_tokens)
            captions += [self.decode(ids).strip() for ids in generated.ids]
        return captions

    def extract(
        self,
        images: Iterable[Any],
        word: str,
        *,
        references: Iterable[str] | None = None,
        layer: int = -1,
        batch_size: int = 16,
        max_new_tokens: int = 32,
        sample_ids: Iterable[str] | None = None,
        token: "TokenChoice" = "first",
        case_sensitive: bool = False,
        plural: bool = False,
        verify: int = 0,
        out: str | os.PathLike[str] | None = None,
        progress: "Progress" = None,
    ) -> "States":
        """The states that predict ``word`` in the captions of ``images``: see :func:`coxlmm.extraction.extract`."""
        from coxlmm.extraction import extract

        return extract(
            self,
            images,
            word,
            references=references,
            layer=layer,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            sample_ids=sample_ids,
            token=token,
            case_sensitive=case_sensitive,
            plural=plural,
            verify=verify,
            out=out,
            progress=progress,
        )

    def _to_model(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)

    @property
    def _image_token(self) -> str | None:
        token = getattr(self.processor, "image_token", None)
        return None if token is None or self.model.config.model_type in _PLACE_IMAGES_THEMSELVES else str(token)

    @property
    def _prompt_has_bos(self) -> bool:
        """Whether the prompt, as chat templates write it, begins with the token that the tokenizer would add again."""
        bos = self.tokenizer.bos_token
        return bool(bos) and self.prompt.startswith(bos) and self._tokenizer_adds_bos

    @cached_property
    def _tokenizer_adds_bos(self) -> bool:
        return self.tokenizer("a")["input_ids"][:1] == [self.tokenizer.bos_token_id]

    def _default_prompt(self) -> str:
        if getattr(self.processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": _INSTRUCTION}]
            message = {"role": "user", "content": content}
            return self.processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        return self._place_image(_COMPLETIONS.get(self.model.config.model_type, _COMPLETION))

    def _place_image(self, prompt: str) -> str:
        token = self._image_token
        if token is None:  # the processor places images itself
            return prompt.replace(IMAGE_MARK, "")
        if token in prompt:
            return prompt
        return prompt.replace(IMAGE_MARK, token) if IMAGE_MARK in prompt else token + prompt


def as_images(images: Iterable[Any]) -> Iterable[Any]:
    """``images``, refused when it is one image rather than several."""
    if isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable):
        raise TypeError(f"images must be a sequence or an iterable of images, got one {type(images).__name__}")
    if getattr(images, "ndim", None) in (2, 3):
        raise TypeError(
            f"images must be a sequence or an iterable of images, got an array of shape {tuple(images.shape)}, "
            f"which is one image: put it in a list"
        )
    return images


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one perhaps shorter, taken from ``items`` as they are asked for."""
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _stored_prompt(name_or_path: str | os.PathLike[str], source: dict[str, Any]) -> str | None:
    source = {key: value for key, value in source.items() if key != "trust_remote_code"}
    file = cached_file(
        name_or_path,
        _SETTINGS_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **source,
    )
    if file is None:
        return None
    return json.loads(Path(file).read_text("utf-8"))["prompt"]
