"""Real processors around tokenizers that are built here and image processors that need no torchvision."""

from typing import Any

import transformers
from compatibility.shrink import IMAGE
from tiny_models import CHAT_TEMPLATE, byte_level_tokenizer
from transformers import PreTrainedTokenizerFast


def tokenizer(**named: str) -> PreTrainedTokenizerFast:
    """The byte-level tokenizer of the other tests, with special tokens under the names that a processor asks for.

    ``tokenizer(boi_token="<start_of_image>")`` has attributes ``boi_token`` and ``boi_token_id``. A token under a name
    that is not its own (``<image>`` is ``image_token`` already) replaces it.
    """
    built = byte_level_tokenizer()
    built.add_special_tokens({"extra_special_tokens": list(named.values())}, replace_extra_special_tokens=False)
    backend = built.backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=built.pad_token,
        bos_token=built.bos_token,
        eos_token=built.eos_token,
        extra_special_tokens={"image_token": built.image_token} | named,
        clean_up_tokenization_spaces=False,
    )


def template(image: str = "<image>") -> str:
    """A chat template that marks the image with ``image``."""
    return CHAT_TEMPLATE.replace("<image>", image)


def image_processor(name: str, **settings: Any) -> Any:
    """The image processor class called ``name``, by default for square images of the tiny towers' size."""
    return getattr(transformers, name)(**{"size": {"height": IMAGE, "width": IMAGE}} | settings)


def processor(name: str, image_processor: Any, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> Any:
    """The processor class called ``name`` around both."""
    return getattr(transformers, name)(image_processor=image_processor, tokenizer=tokenizer, **settings)
