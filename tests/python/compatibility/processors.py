"""Real processors around tokenizers that are built here and image processors that need no torchvision."""

import inspect
from typing import Any
from unittest import mock

import transformers
from compatibility.shrink import IMAGE
from tiny_models import CHAT_TEMPLATE, byte_level_tokenizer
from transformers import PreTrainedTokenizerFast


def tokenizer(**named: str | None) -> PreTrainedTokenizerFast:
    """The byte-level tokenizer of the other tests, with special tokens under the names that a processor asks for.

    ``tokenizer(boi_token="<start_of_image>")`` has attributes ``boi_token`` and ``boi_token_id``. A token under a name
    that is not its own (``<image>`` is ``image_token`` already) replaces it, and None leaves the name out.
    """
    built = byte_level_tokenizer()
    named = {name: token for name, token in ({"image_token": built.image_token} | named).items() if token is not None}
    built.add_special_tokens({"extra_special_tokens": list(named.values())}, replace_extra_special_tokens=False)
    backend = built.backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=built.pad_token,
        bos_token=built.bos_token,
        eos_token=built.eos_token,
        unk_token=built.pad_token,  # byte-level: there are none, but processors count from its id
        extra_special_tokens=named,
        clean_up_tokenization_spaces=False,
    )


def template(image: str = "<image>") -> str:
    """A chat template that marks the image with ``image``."""
    return CHAT_TEMPLATE.replace("<image>", image)


def image_processor(name: str, **settings: Any) -> Any:
    """The image processor class called ``name``, by default for square images of the tiny towers' size."""
    return getattr(transformers, name)(**{"size": {"height": IMAGE, "width": IMAGE}} | settings)


def processor(kind: str | type, image_processor: Any, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> Any:
    """The processor class called ``kind``, or that class, around both.

    Those that take videos or sounds too insist on a part for them, which needs torchvision or is large. No image passes
    through it, so they are built without one, or with the one in ``settings``.
    """
    kind = getattr(transformers, kind) if isinstance(kind, str) else kind
    others = {"video_processor", "feature_extractor"} & set(inspect.signature(kind.__init__).parameters)
    original = kind.check_argument_for_proper_class

    def check(self: Any, name: str, argument: Any) -> Any:
        return None if name in others else original(self, name, argument)

    parts = {"image_processor": image_processor, "tokenizer": tokenizer, **dict.fromkeys(others)}
    with mock.patch.object(kind, "check_argument_for_proper_class", check):
        return kind(**parts | settings)
