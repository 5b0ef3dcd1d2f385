"""LLaVA and its kin, Qwen, Gemma, Idefics, InternVL, Mistral and Llama."""

from compatibility.processors import image_processor, processor, template, tokenizer
from compatibility.recipes import Family
from compatibility.shrink import IMAGE, PATCH, build, shrink


def llava():
    words = tokenizer()
    model = build(shrink("llava", words), words)
    images = image_processor("CLIPImageProcessorPil", crop_size={"height": IMAGE, "width": IMAGE})
    settings = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return model, processor("LlavaProcessor", images, words, chat_template=template(), **settings)


FAMILIES = [
    Family("llava", llava),
]
