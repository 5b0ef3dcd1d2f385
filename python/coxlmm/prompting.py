"""Prompts and images as the processors of different models take them."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from coxlmm.architecture import UnsupportedModelError

IMAGE_MARK = "<image>"
_INSTRUCTION = "Describe the image in one sentence."
_COMPLETION = "A photo of"
# Where neither a chat template nor that will do: what a model was trained on. Florence-2 knows tasks, no continuations.
_COMPLETIONS = {"florence2": "<CAPTION>"}
# Their processors have an image token and place it themselves, so that one in the prompt would be one too many.
_PLACE_IMAGES_THEMSELVES = ("blip-2", "florence2", "instructblip", "instructblipvideo")
# Classes whose states depend on the other images of a batch, and why.
_ONE_IMAGE_A_BATCH = {
    "hunyuan_vl": "it counts the images of a batch, and their numbers are part of the positions",
    "minicpmv4_6": "its vision model arranges the patches of all images like those of the first",
}


class Prompter:
    """What a processor makes of a prompt and images.

    Parameters
    ----------
    model : PreTrainedModel
    processor : ProcessorMixin, or what comes with a model's own code
        See :class:`coxlmm.LMM`.
    """

    def __init__(self, model: PreTrainedModel, processor: Any) -> None:
        self._config = model.config
        self._model_name = type(model).__name__
        self._processor = processor
        self._tokenizer: PreTrainedTokenizerBase = processor.tokenizer

    def default(self) -> str:
        """The chat template around the image and a question, or the beginning of a caption where there is none."""
        if getattr(self._processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": _INSTRUCTION}]
            message = {"role": "user", "content": content}
            return self._processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        return self.with_image(_COMPLETIONS.get(self._config.model_type, _COMPLETION))

    def with_image(self, prompt: str) -> str:
        """A prompt with the image's place marked as the processor wants it."""
        token = self._image_token
        if token is None:  # the processor places images itself
            return prompt.replace(IMAGE_MARK, "")
        if token in prompt:
            return prompt
        return prompt.replace(IMAGE_MARK, token) if IMAGE_MARK in prompt else token + prompt

    def encode(self, prompt: str, images: list[Any]) -> Mapping[str, Any]:
        """Inputs for the prompt with each of the images, padded on the left.

        Raises
        ------
        ValueError
            If there are several images, and the model's states of one would depend on the others.
        """
        why = _ONE_IMAGE_A_BATCH.get(self._config.model_type)
        if why and len(images) > 1:
            raise ValueError(f"{self._model_name} takes one image at a time, batch_size=1, since {why}")
        settings = {"padding_side": "left"} if self._is_transformers else {}
        if self._has_bos(prompt):
            settings["add_special_tokens"] = False
        encoded = self._processor(
            # All of transformers' own but one take a list of images for each prompt, and some take nothing else; what
            # comes with a model's own code is made for one image a prompt.
            images=[[image] for image in images] if self._takes_lists_of_images else images,
            text=[prompt] * len(images),
            padding=True,
            return_tensors="pt",
            **settings,
        )
        return self._unfinished(encoded)

    @property
    def _is_transformers(self) -> bool:
        return type(self._processor).__call__.__module__.startswith("transformers.")

    @property
    def _takes_lists_of_images(self) -> bool:
        return self._is_transformers and type(self._processor).__name__ != "GotOcr2Processor"

    @property
    def _image_token(self) -> str | None:
        token = getattr(self._processor, "image_token", None)
        return None if token is None or self._config.model_type in _PLACE_IMAGES_THEMSELVES else str(token)

    def _has_bos(self, prompt: str) -> bool:
        """Whether a prompt, as chat templates write it, begins with the token that the tokenizer would add again."""
        bos = self._tokenizer.bos_token
        return bool(bos) and prompt.startswith(bos) and self._tokenizer_adds_bos

    @cached_property
    def _tokenizer_adds_bos(self) -> bool:
        return self._tokenizer("a")["input_ids"][:1] == [self._tokenizer.bos_token_id]

    @cached_property
    def added_end(self) -> int | None:
        """The token with which the tokenizer ends every text, as those of BERT, BART and T5 do."""
        last = self._tokenizer("a")["input_ids"][-1]
        return last if last in (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id) else None

    def _unfinished(self, encoded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without the end of the text: what has ended is not continued. An encoder reads it with its end."""
        ids = encoded.get("input_ids")
        if "labels" in encoded and self._config.is_encoder_decoder:
            # Processors of vision encoders take text for what is to be written.
            ids = encoded["labels"]
            ended = self.added_end is not None and bool((ids[:, -1] == self.added_end).all())
            texts = ("labels", "input_ids", "attention_mask")
            encoded = {key: value for key, value in encoded.items() if key not in texts}
            return encoded | {"decoder_input_ids": ids[:, :-1] if ended else ids}
        encoded = {key: value for key, value in encoded.items() if key != "labels"}  # PaliGemma's, for training
        if ids is None or self._config.is_encoder_decoder:
            return encoded
        if self.added_end is not None and bool((ids[:, -1] == self.added_end).all()):
            encoded = {key: value[:, :-1] if value.shape == ids.shape else value for key, value in encoded.items()}
        if self._config.model_type == "blip":  # as its generate does
            encoded["input_ids"][:, 0] = self._config.text_config.bos_token_id
        return encoded


def require_processor(processor: Any) -> None:
    """Raises UnsupportedModelError for what is no processor of images and text."""
    if isinstance(processor, PreTrainedTokenizerBase):
        lacking = "is a tokenizer alone, which takes no images: is this a model of text only?"
    elif getattr(processor, "tokenizer", None) is None:
        lacking = "has no tokenizer: is it an image processor alone?"
    else:
        return
    raise UnsupportedModelError(
        f"{type(processor).__name__} {lacking} What is needed is the processor of an image-text model, which "
        f"AutoProcessor loads"
    )
