"""GLM, Molmo, Cohere, LFM, Ovis, DeepSeek, Janus, the BLIPs, Kosmos, Florence, GIT and models that read documents."""

from compatibility import stand_ins
from compatibility.processors import image_processor, processor, template, tokenizer
from compatibility.recipes import Family
from compatibility.shrink import IMAGE, PATCH, WIDTH, build, shrink
from transformers import ConvNextConfig

# An untrained model whose embeddings are tied repeats its last token, whatever the image.
UNTIED = {"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": False}}


def clip(size: int = IMAGE):
    square = {"height": size, "width": size}
    return image_processor("CLIPImageProcessorPil", size=square, crop_size=square)


def glm(name: str, class_name: str):
    def family():
        words = tokenizer(
            image_token="<|image|>",
            video_token="<|video|>",
            image_start_token="<|begin_of_image|>",
            image_end_token="<|end_of_image|>",
            video_start_token="<|begin_of_video|>",
            video_end_token="<|end_of_video|>",
        )
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2], "partial_rotary_factor": 1.0}
        model = build(shrink(name, words, {"text_config": {"rope_parameters": rope}}), words)
        pixels = {"shortest_edge": 2 * IMAGE**2, "longest_edge": 8 * IMAGE**2}
        images = image_processor(f"{class_name}ImageProcessorPil", size=pixels, patch_size=PATCH)
        return model, processor(f"{class_name}Processor", images, words, chat_template=template("<|image|>"))

    return family


def aya_vision():
    words = tokenizer(
        img_patch_token="<|IMG_PATCH|>",
        start_of_img_token="<|START_OF_IMG|>",
        end_of_img_token="<|END_OF_IMG|>",
        tile_token="TILE",
        tile_global_token="TILE_GLOBAL",
    )
    model = build(shrink("aya_vision", words, {"image_token_index": words.img_patch_token_id}), words)
    images = image_processor("GotOcr2ImageProcessorPil", max_patches=3)
    sizes = {"patch_size": PATCH, "img_size": IMAGE, "downsample_factor": 2}
    return model, processor("AyaVisionProcessor", images, words, chat_template=template(), **sizes)


def ovis2():
    names = ["<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    words = tokenizer(**{name: name for name in names})
    atom, *indicators = words.convert_tokens_to_ids(names)
    settings = {
        "image_token_id": atom,
        "visual_indicator_token_ids": indicators,
        "vision_config": {"hidden_stride": 2},
    }
    model = build(shrink("ovis2", words, settings), words)
    images = image_processor("Ovis2ImageProcessorPil", max_patches=3, crop_to_patches=True)
    return model, processor("Ovis2Processor", images, words, image_seq_length=4, chat_template=template())


def deepseek_vl():
    words = tokenizer()
    model = build(shrink("deepseek_vl", words), words)
    images = image_processor("DeepseekVLImageProcessorPil", min_size=PATCH)
    return model, processor("DeepseekVLProcessor", images, words, num_image_tokens=16, chat_template=template())


def deepseek_vl_hybrid():
    words = tokenizer()
    high = {"image_size": 2 * IMAGE, "output_channels": 8, "global_attn_indexes": [1], "window_size": 2}
    model = build(shrink("deepseek_vl_hybrid", words, {"high_res_vision_config": high}), words)
    double = {"height": 2 * IMAGE, "width": 2 * IMAGE}
    images = image_processor("DeepseekVLHybridImageProcessorPil", high_res_size=double, min_size=PATCH)
    return model, processor("DeepseekVLHybridProcessor", images, words, num_image_tokens=16, chat_template=template())


def janus():
    words = tokenizer(image_token="<image_placeholder>", boi_token="<begin_of_image>", eoi_token="<end_of_image>")
    drawing = {"base_channels": 32, "latent_channels": 8, "num_embeddings": 16, "num_patches": 4}
    drawing |= {"channel_multiplier": [1, 1], "num_res_blocks": 1}
    model = build(shrink("janus", words, {"vq_config": drawing}), words)
    images = image_processor("JanusImageProcessorPil", min_size=PATCH)
    settings = {"num_image_tokens": 16, "chat_template": template("<image_placeholder>")}
    return model, processor("JanusProcessor", images, words, **settings)


def blip_2(text: str):
    def family():
        words = tokenizer(image_token=None, picture="<image>")
        start = {"decoder_start_token_id": words.pad_token_id} if text == "t5" else {"tie_word_embeddings": False}
        settings = {"text_config": shrink(text, words, start).to_dict(), "num_query_tokens": 4}
        settings |= {"image_token_index": words.picture_id, "use_decoder_only_language_model": text == "opt"}
        model = build(shrink("blip-2", words, settings), words, seed=5)
        return model, processor("Blip2Processor", image_processor("BlipImageProcessorPil"), words, num_query_tokens=4)

    return family


def instructblip():
    words = tokenizer(image_token=None, picture="<image>")
    settings = {"num_query_tokens": 4, "image_token_index": words.picture_id}
    model = build(shrink("instructblip", words, settings), words)
    settings = {"qformer_tokenizer": tokenizer(), "num_query_tokens": 4}
    return model, processor("InstructBlipProcessor", image_processor("BlipImageProcessorPil"), words, **settings)


def kosmos_2():
    words = tokenizer()
    images = processor("Kosmos2Processor", clip(), words, num_patch_index_tokens=4)  # adds tokens of its own
    return build(shrink("kosmos-2", words, UNTIED), words, seed=5), images


def florence2():
    words = tokenizer()
    sizes = {"embed_dim": [8, 16, 16, WIDTH], "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2]}
    sizes |= {"num_groups": [1, 2, 2, 2], "window_size": 2, "patch_size": [7, 3, 3, 3]}
    model = build(shrink("florence2", words, {"vision_config": sizes}), words, seed=7)
    images = clip(2 * IMAGE)
    images.image_seq_length = 5
    return model, processor("Florence2Processor", images, words)


def git():
    words = tokenizer()
    return build(shrink("git", words), words, seed=4), processor("GitProcessor", clip(), words)


def cohere2_vision():
    words = tokenizer(
        image_token="<|IMG_PATCH|>",
        boi_token="<|START_OF_IMG|>",
        eoi_token="<|END_OF_IMG|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )
    model = build(shrink("cohere2_vision", words), words)
    settings = {"chat_template": template("<|IMG_PATCH|>")}
    return model, processor("Cohere2VisionProcessor", stand_ins.Cohere2Vision(), words, **settings)


def perception_lm():
    words = tokenizer(video_token="<video>")
    tower = shrink("clip_vision_model", words).to_dict() | {"model_args": {"embed_dim": WIDTH}}
    model = build(shrink("perception_lm", words, {"vision_config": tower}), words)
    settings = {"patch_size": PATCH, "pooling_ratio": 1, "chat_template": template()}
    return model, processor("PerceptionLMProcessor", stand_ins.PerceptionLM(), words, **settings)


def fast_vlm():
    words = tokenizer()
    sizes = {"hidden_sizes": [8, WIDTH], "depths": [1, 1], "num_stages": 2, "patch_size": PATCH // 2}
    tower = ConvNextConfig(**sizes).to_dict() | {"hidden_size": WIDTH}
    model = build(shrink("fast_vlm", words, {"vision_config": tower}), words)
    settings = {"patch_size": PATCH, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0}
    return model, processor("LlavaProcessor", clip(), words, chat_template=template(), **settings)


def lfm2_vl():
    markers = ["<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", "<|img_row_1_col_1|>", "<|img_row_1_col_2|>"]
    words = tokenizer(**{marker: marker for marker in markers})
    kinds = {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "full_attn_idxs": None}
    settings = {"text_config": kinds, "vision_config": {"num_patches": (IMAGE // PATCH) ** 2}}
    model = build(shrink("lfm2_vl", words, settings | {"tie_word_embeddings": False}), words, seed=5)
    return model, processor("Lfm2VlProcessor", stand_ins.Lfm2Vl(), words, chat_template=template())


def molmo2():
    names = ["im_patch", "im_col", "im_start", "low_res_im_start", "im_end", "im_low", "frame_start", "frame_end"]
    words = tokenizer(image_token="<|image|>", video_token="<|video|>", **{f"{n}_token": f"<{n}>" for n in names})
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    settings = {
        "vision_config": {"image_size": [IMAGE, IMAGE], **heads},
        "adapter_config": {"vision_feature_layer": [1, 0], **heads},
        "text_config": {"additional_vocab_size": 1, "rope_scaling_layers": None},
        "image_patch_id": words.im_patch_token_id,
    }
    model = build(shrink("molmo2", words, settings), words)
    return model, processor("Molmo2Processor", stand_ins.Molmo2(), words, chat_template=template("<|image|>"))


STAND_IN = "its image processor needs torchvision: a stand-in with the same outputs"

FAMILIES = [
    Family("glm4v", glm("glm4v", "Glm4v")),
    Family("glm46v", glm("glm46v", "Glm46V")),
    Family("molmo2", molmo2, note=STAND_IN),
    Family("aya_vision", aya_vision),
    Family("cohere2_vision", cohere2_vision, note=STAND_IN),
    Family("lfm2_vl", lfm2_vl, note=STAND_IN),
    Family("fast_vlm", fast_vlm, note="its vision tower needs timm: a ConvNeXt in its place"),
    Family("perception_lm", perception_lm, note=f"its vision tower needs timm: CLIP's in its place; {STAND_IN}"),
    Family("ovis2", ovis2),
    Family("deepseek_vl", deepseek_vl),
    Family("deepseek_vl_hybrid", deepseek_vl_hybrid),
    Family("janus", janus),
    Family("blip-2", blip_2("opt"), note="with OPT"),
    Family("blip-2 with T5", blip_2("t5")),
    Family("instructblip", instructblip),
    Family("kosmos-2", kosmos_2),
    Family("florence2", florence2),
    Family("git", git),
]
