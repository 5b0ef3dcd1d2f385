"""LLaVA and its kin, Qwen, Gemma, Idefics, InternVL, Mistral and Llama."""

import sys
from types import SimpleNamespace
from unittest import mock

import torch
from compatibility.processors import image_processor, processor, template, tokenizer
from compatibility.recipes import Family, Unavailable
from compatibility.remote_code import PatchesAndLlama, PatchesConfig, PatchesProcessor
from compatibility.shrink import IMAGE, PATCH, TEXT_LAYERS, WIDTH, build, randomize, shrink
from transformers import CLIPImageProcessorPil
from transformers.models.pixtral import image_processing_pil_pixtral

ALTERNATING = ["sliding_attention", "full_attention"] * 2
SQUARE = {"height": IMAGE, "width": IMAGE}
# Of a CLIP tower: the class token is a position that is no patch.
CLIP = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}


def llava(name="llava"):
    words = tokenizer()
    settings = {"vision_feature_layer": [-2, -1]} if name == "vipllava" else {}
    model = build(shrink(name, words, settings), words)
    images = image_processor("CLIPImageProcessorPil", crop_size=SQUARE)
    return model, processor("LlavaProcessor", images, words, chat_template=template(), **CLIP)


def llava_next():
    words = tokenizer()
    grid = [[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE], [IMAGE, 3 * IMAGE]]
    model = build(shrink("llava_next", words, {"image_grid_pinpoints": grid}), words)
    images = image_processor(
        "LlavaNextImageProcessorPil", size={"shortest_edge": IMAGE}, crop_size=SQUARE, image_grid_pinpoints=grid
    )
    return model, processor("LlavaNextProcessor", images, words, chat_template=template(), **CLIP)


def llava_onevision():
    words = tokenizer(video_token="<video>")
    grid = [[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE], [IMAGE, 3 * IMAGE]]
    model = build(shrink("llava_onevision", words, {"image_grid_pinpoints": grid}), words)
    images = image_processor("LlavaOnevisionImageProcessorPil", image_grid_pinpoints=grid)
    settings = {"num_image_tokens": (IMAGE // PATCH) ** 2, "vision_feature_select_strategy": "full"}
    return model, processor("LlavaOnevisionProcessor", images, words, chat_template=template(), **settings)


def qwen(name, processor_name):
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    named |= {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"}
    words = tokenizer(**named)
    rope = {"mrope_section": [1, 1, 2], "rope_theta": 10000.0, "rope_type": "default"}
    model = build(shrink(name, words, {"text_config": {"rope_parameters": rope}}), words)
    pixels = {"min_pixels": 256, "max_pixels": 64 * 64}
    images = image_processor("Qwen2VLImageProcessorPil", size=None, patch_size=PATCH, **pixels)
    marked = template("<|vision_start|><|image_pad|><|vision_end|>")
    return model, processor(processor_name, images, words, chat_template=marked)


def gemma3():
    words = tokenizer(image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>")
    model = build(
        shrink("gemma3", words, {"mm_tokens_per_image": 4, "text_config": {"layer_types": ALTERNATING}}), words
    )
    images = image_processor("Gemma3ImageProcessorPil")
    chat = template("<start_of_image>")
    return model, processor("Gemma3Processor", images, words, image_seq_length=4, chat_template=chat)


def gemma4():
    words = tokenizer(
        image_token="<|image|>", boi_token="<|image>", eoi_token="<image|>",
        audio_token="<|audio|>", boa_token="<|audio>", eoa_token="<audio|>",
    )  # fmt: skip
    vision = {"model_type": "gemma4_vision", "pooling_kernel_size": 2, "patch_size": PATCH, "hidden_size": WIDTH}
    vision |= {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
    vision |= {"head_dim": 8, "position_embedding_size": 128}
    settings = {"vision_config": vision, "text_config": {"layer_types": ALTERNATING}}
    model = build(shrink("gemma4", words, settings), words)
    images = image_processor(
        "Gemma4ImageProcessorPil", size=None, patch_size=PATCH, pooling_kernel_size=2, max_soft_tokens=70
    )
    return model, processor("Gemma4Processor", images, words, chat_template=template("<|image|>"))


def paligemma():
    words = tokenizer()
    words.add_tokens([f"<loc{i:0>4}>" for i in range(1024)] + [f"<seg{i:0>3}>" for i in range(128)])
    model = build(shrink("paligemma", words), words)
    images = image_processor("SiglipImageProcessorPil")
    images.image_seq_length = (IMAGE // PATCH) ** 2
    return model, processor("PaliGemmaProcessor", images, words)


def idefics2():
    words = tokenizer(image_boundary_token="<fake_token_around_image>", end_of_utterance_token="<end_of_utterance>")
    model = build(shrink("idefics2", words), words)
    images = image_processor("Idefics2ImageProcessorPil", size={"shortest_edge": 16, "longest_edge": IMAGE})
    return model, processor("Idefics2Processor", images, words, image_seq_len=2, chat_template=template())


def idefics3(name, kind):
    words = tokenizer(
        fake_image_token="<fake_token_around_image>",
        end_of_utterance_token="<end_of_utterance>",
        global_image_token="<global-img>",
        video_token="<video>",
    )
    model = build(shrink(name, words), words)
    images = image_processor(
        f"{kind}ImageProcessorPil", size={"longest_edge": 2 * IMAGE}, max_image_size={"longest_edge": IMAGE}
    )
    settings = {"image_seq_len": 4, "chat_template": template()}
    if kind == "SmolVLM":  # asked how it would sample frames, whether or not there are any
        settings["video_processor"] = SimpleNamespace(num_frames=1, fps=1)
    return model, processor(f"{kind}Processor", images, words, **settings)


def internvl():
    words = tokenizer(
        image_token="<IMG_CONTEXT>",
        context_image_token="<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
        video_token="<video>",
    )
    settings = {"image_seq_length": 4, "vision_config": {"image_size": [IMAGE] * 2, "patch_size": [PATCH] * 2}}
    model = build(shrink("internvl", words, settings), words)
    images = image_processor("GotOcr2ImageProcessorPil", max_patches=3)
    chat = template("<IMG_CONTEXT>")
    return model, processor("InternVLProcessor", images, words, image_seq_length=4, chat_template=chat)


def mistral3():
    # The processor imports one function from the module that needs torchvision; its PIL twin has it, too.
    twin = {"transformers.models.pixtral.image_processing_pixtral": image_processing_pil_pixtral}
    with mock.patch.dict(sys.modules, twin):
        from transformers.models.pixtral.processing_pixtral import PixtralProcessor
    words = tokenizer(image_token="[IMG]", image_break_token="[IMG_BREAK]", image_end_token="[IMG_END]")
    model = build(shrink("mistral3", words), words)
    images = image_processor("PixtralImageProcessorPil", size={"longest_edge": IMAGE}, patch_size=PATCH)
    settings = {"patch_size": PATCH, "spatial_merge_size": 2}
    return model, processor(PixtralProcessor, images, words, chat_template=template("[IMG]"), **settings)


def mllama():
    words = tokenizer(image_token="<|image|>", python_token="<|python_tag|>")
    settings = {"vision_config": {"vision_output_dim": 2 * WIDTH}}  # the last layer's and one in between's
    model = build(shrink("mllama", words, settings), words)
    images = image_processor("MllamaImageProcessorPil", max_image_tiles=4)
    return model, processor("MllamaProcessor", images, words, chat_template=template("<|image|>"))


class OneTile(CLIPImageProcessorPil):
    """Llama 4's needs torchvision: this one makes one tile of every image, and says so."""

    def preprocess(self, images, **kwargs):
        batch = super().preprocess(images, **kwargs)
        batch["aspect_ratios"] = torch.ones(len(batch["pixel_values"]), 2, dtype=torch.int64)
        return batch


LLAMA4 = (
    "`forward` of transformers 5.24 reads `image_outputs`, which its language model does not give: tested with a hook "
    "that adds it, and, since its image processor needs torchvision, with one that makes one tile of an image"
)


def llama4():
    words = tokenizer(image_token="<|patch|>", start="<|image_start|>", end="<|image_end|>", mark="<|image|>")
    settings = {"vision_config": {"intermediate_size": 4 * WIDTH}}  # half as many patches along each side
    model = build(shrink("llama4", words, settings), words, seed=3)
    model.language_model.register_forward_hook(_add_image_outputs)
    images = OneTile(size=SQUARE, crop_size=SQUARE)
    chat = template("<|image|>")
    return model, processor("Llama4Processor", images, words, patch_size=PATCH, chat_template=chat)


def _add_image_outputs(module, args, output):
    assert not hasattr(output, "image_outputs"), "no longer needed: the note on llama4 is out of date"
    output.image_outputs = None


def llava_next_video():
    words = tokenizer(video_token="<video>")
    grid = [[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE], [IMAGE, 3 * IMAGE]]
    model = build(shrink("llava_next_video", words, {"image_grid_pinpoints": grid}), words)
    sizes = {"size": {"shortest_edge": IMAGE}, "crop_size": SQUARE, "image_grid_pinpoints": grid}
    images = image_processor("LlavaNextImageProcessorPil", **sizes)
    return model, processor("LlavaNextVideoProcessor", images, words, chat_template=template(), **CLIP)


def video_llava():
    words = tokenizer(video_token="<video>")
    model = build(shrink("video_llava", words), words)
    images = image_processor("VideoLlavaImageProcessor", size={"shortest_edge": IMAGE}, crop_size=SQUARE)
    return model, processor("VideoLlavaProcessor", images, words, chat_template=template(), **CLIP)


def aria():
    words = tokenizer()
    settings = {"projector_patch_to_query_dict": {49: 4}, "max_value_projector_patch_to_query_dict": 4}
    settings["vision_config"] = {"image_size": 980, "patch_size": 140}  # its processor knows no smaller size
    model = build(shrink("aria", words, settings), words)
    images = image_processor("AriaImageProcessorPil", size=None)
    return model, processor("AriaProcessor", images, words, size_conversion={980: 4}, chat_template=template())


def chameleon():
    codes = [f"IMGIMG{letter}Z" for letter in "ABCDEFGH"]
    words = tokenizer(
        boi_token="<racm3:break>", eoi_token="<eoss>", sep_token="<reserved08706>",
        **{f"code_{i}": code for i, code in enumerate(codes)},
    )  # fmt: skip
    vocabulary = {token: words.convert_tokens_to_ids(token) for token in [*codes, "<image>"]}
    drawing = {"num_embeddings": 8, "base_channels": 32, "channel_multiplier": [1, 1], "latent_channels": 8}
    drawing |= {"embed_dim": 8, "resolution": 16, "num_res_blocks": 1}
    settings = {"vocabulary_map": vocabulary, "vq_config": drawing}
    model = build(shrink("chameleon", words, settings), words)
    sizes = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    images = image_processor("ChameleonImageProcessorPil", **sizes)
    return model, processor("ChameleonProcessor", images, words, image_seq_length=16)


def emu3():
    codes = [f"<|visual token {i:06}|>" for i in range(8)]
    words = tokenizer(
        boi_token="<|image start|>", eoi_token="<|image end|>", image_wrapper_token="<|image token|>",
        eof_token="<|extra_201|>", eol_token="<|extra_200|>", **{f"code_{i}": code for i, code in enumerate(codes)},
    )  # fmt: skip
    vocabulary = {token: words.convert_tokens_to_ids(token) for token in [*codes, "<image>", "<|extra_200|>"]}
    drawing = {"codebook_size": 8, "base_channels": 32, "channel_multiplier": [1, 1, 1, 1], "num_res_blocks": 1}
    drawing |= {"attn_resolutions": [3], "num_attention_heads": 1, "embed_dim": 4}
    model = build(shrink("emu3", words, {"vocabulary_map": vocabulary, "vq_config": drawing}), words)
    images = image_processor("Emu3ImageProcessor", size=None, min_pixels=16 * 16, max_pixels=IMAGE * IMAGE)
    return model, processor("Emu3Processor", images, words, chat_template=template())


EMU3 = (
    "transformers pads images of different shapes to one before the encoder, which sees the padding: "
    "they are as alone with `batch_size=1`"
)


def qwen2_5_omni():
    named = {"image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>", "audio_token": "<|AUDIO|>"}
    named |= {"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"}
    named |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    words = tokenizer(**named)
    rope = {"mrope_section": [1, 1, 2], "rope_theta": 10000.0, "rope_type": "default"}
    # The class has no name for what the checkpoints' configurations say beside it.
    settings = {"vision_start_token_id": words.vision_bos_token_id, "vision_end_token_id": words.vision_eos_token_id}
    settings |= {"text_config": {"rope_parameters": rope}, "audio_config": {"output_dim": WIDTH}}
    model = build(shrink("qwen2_5_omni_thinker", words, settings), words)
    sizes = {"size": None, "patch_size": PATCH, "min_pixels": 256, "max_pixels": 64 * 64}
    images = image_processor("Qwen2VLImageProcessorPil", **sizes)
    marked = template("<|vision_bos|><|IMAGE|><|vision_eos|>")
    return model, processor("Qwen2_5OmniProcessor", images, words, chat_template=marked)


def remote_code():
    words = tokenizer()
    config = PatchesConfig(llm_config=shrink("llama", words), image_token_id=words.image_token_id)
    torch.manual_seed(0)
    model = PatchesAndLlama(config).float()
    randomize(model, words)
    return model, PatchesProcessor(words)


def gemma3n():
    words = tokenizer()
    settings = {"intermediate_size": 48, "activation_sparsity_pattern": [0.0] * TEXT_LAYERS, "num_kv_shared_layers": 0}
    return build(shrink("gemma3n", words, {"text_config": settings}), words)


FAMILIES = [
    Family("llava", llava),
    Family("llava_next", llava_next),
    Family("llava_onevision", llava_onevision),
    Family("vipllava", lambda: llava("vipllava")),
    Family("qwen2_vl", lambda: qwen("qwen2_vl", "Qwen2VLProcessor")),
    Family("qwen2_5_vl", lambda: qwen("qwen2_5_vl", "Qwen2_5_VLProcessor")),
    Family("qwen3_vl", lambda: qwen("qwen3_vl", "Qwen3VLProcessor")),
    Family("qwen3_5", lambda: qwen("qwen3_5", "Qwen3VLProcessor")),
    Family("qwen3_vl_moe", lambda: qwen("qwen3_vl_moe", "Qwen3VLProcessor")),
    Family("gemma3", gemma3),
    Family("gemma4", gemma4),
    Family("paligemma", paligemma),
    Family("idefics2", idefics2),
    Family("idefics3", lambda: idefics3("idefics3", "Idefics3")),
    Family("smolvlm", lambda: idefics3("smolvlm", "SmolVLM")),
    Family("internvl", internvl),
    Family("mistral3", mistral3),
    Family("mllama", mllama),
    Family("llama4", llama4, note=LLAMA4),
    Family("llava_next_video", llava_next_video),
    Family("video_llava", video_llava),
    Family("aria", aria),
    Family("chameleon", chameleon),
    Family("emu3", emu3, alone=EMU3),
    Family("qwen2_5_omni_thinker", qwen2_5_omni),
    Unavailable("gemma3n", gemma3n, "TimmWrapperModel requires the timm library"),
    Family("remote code", remote_code, note="a model and a processor whose classes are not transformers'"),
]
