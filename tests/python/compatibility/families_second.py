"""GLM, Molmo, Cohere, LFM, Ovis, DeepSeek, Janus, the BLIPs, Kosmos, Florence, GIT and models that read documents."""

import torch
from compatibility import stand_ins
from compatibility.processors import image_processor, processor, template, tokenizer
from compatibility.recipes import Family
from compatibility.shrink import IMAGE, PATCH, WIDTH, build, shrink
from tiny_models import WORDS, wordpiece_tokenizer
from tokenizers.processors import BertProcessing
from transformers import ConvNextConfig, PreTrainedTokenizerFast

# An untrained model whose embeddings are tied repeats its last token, whatever the image.
UNTIED = {"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": False}}


def clip(size: int = IMAGE):
    square = {"height": size, "width": size}
    return image_processor("CLIPImageProcessorPil", size=square, crop_size=square)


SECTIONS = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
PIXELS = {"shortest_edge": 2 * IMAGE**2, "longest_edge": 8 * IMAGE**2}


def bert():
    """BERT's kind of tokenizer, which begins every text with [CLS] and ends it with [SEP]."""
    backend = wordpiece_tokenizer([*WORDS, "[CLS]", "[SEP]"]).backend_tokenizer
    begin, end = (("[CLS]", backend.token_to_id("[CLS]")), ("[SEP]", backend.token_to_id("[SEP]")))
    backend.post_processor = BertProcessing(end, begin)
    names = {"pad_token": "<pad>", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)


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
        rope = SECTIONS | {"partial_rotary_factor": 1.0}
        model = build(shrink(name, words, {"text_config": {"rope_parameters": rope}}), words)
        images = image_processor(f"{class_name}ImageProcessorPil", size=PIXELS, patch_size=PATCH)
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
    words = bert()
    ends = {"bos_token_id": words.cls_token_id, "eos_token_id": words.sep_token_id}
    model = build(shrink("git", words, ends), words, seed=3)
    torch.nn.init.zeros_(model.output.bias)  # with it the output embedding alone does not rank the tokens
    return model, processor("GitProcessor", clip(), words)


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


def blip():
    words = bert()
    settings = {"num_attention_heads": 4, "bos_token_id": words.cls_token_id, "sep_token_id": words.sep_token_id}
    model = build(shrink("blip", words, {"text_config": settings}), words)
    return model, processor("BlipProcessor", image_processor("BlipImageProcessorPil"), words)


def pix2struct():
    words = tokenizer()
    settings = {"vision_config": {"seq_len": 32, "patch_embed_hidden_size": 3 * PATCH**2}}
    model = build(shrink("pix2struct", words, settings), words)
    images = image_processor("Pix2StructImageProcessorPil", patch_size={"height": PATCH, "width": PATCH})
    built = processor("Pix2StructProcessor", images, words)
    built.images_kwargs = {"max_patches": 16}
    return model, built


def got_ocr2():
    words = tokenizer(image_token="<imgpad>", image_start_token="<img>", image_end_token="</img>")
    tower = {"output_channels": 8, "global_attn_indexes": [1], "window_size": 2, "image_size": 64, "patch_size": 4}
    model = build(shrink("got_ocr2", words, {"vision_config": tower}), words)
    images = image_processor("GotOcr2ImageProcessorPil", size={"height": 64, "width": 64})
    built = processor("GotOcr2Processor", images, words, chat_template=template("<imgpad>"))
    built.num_image_tokens = 16
    return model, built


def video_llama_3():
    words = tokenizer(image_token="<|image_pad|>", video_token="<|video_pad|>")
    model = build(shrink("video_llama_3", words), words)
    images = image_processor("VideoLlama3ImageProcessorPil", patch_size=PATCH, merge_size=1, size=PIXELS)
    return model, processor("VideoLlama3Processor", images, words, chat_template=template("<|image_pad|>"))


def hunyuan_vl():
    words = tokenizer(image_start_token="<img>", image_end_token="</img>")
    heads = {"head_dim": 8, "num_key_value_heads": 4}
    settings = {"text_config": heads | {"rope_parameters": SECTIONS}, "vision_config": heads}
    model = build(shrink("hunyuan_vl", words, settings), words)
    images = image_processor("HunYuanVLImageProcessorPil", patch_size=PATCH, size=PIXELS)
    return model, processor("HunYuanVLProcessor", images, words, chat_template=template("<img><image></img>"))


def ernie4_5_vl_moe():
    names = ["image", "image_start", "image_end", "video", "video_start", "video_end"]
    words = tokenizer(**{f"{name}_token": f"<|{name}|>" for name in names})
    model = build(shrink("ernie4_5_vl_moe", words, {"text_config": {"rope_parameters": SECTIONS, "moe_k": 2}}), words)
    images = image_processor("Ernie4_5_VLMoeImageProcessorPil", patch_size=PATCH, size=PIXELS)
    return model, processor("Ernie4_5_VLMoeProcessor", images, words, chat_template=template("<|image|>"))


def t5gemma2():
    words = tokenizer(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    model = build(shrink("t5gemma2", words, {"encoder": {"mm_tokens_per_image": 4}}), words)
    settings = {"image_seq_length": 4, "chat_template": template("<start_of_image>")}
    return model, processor("Gemma3Processor", image_processor("Gemma3ImageProcessorPil"), words, **settings)


def kosmos_2_5():
    words = tokenizer(boi_token="<image>", eoi_token="</image>", image_token="<picture>")
    settings = {"latent_query_num": 4, "vision_config": {"patch_embed_hidden_size": 3 * PATCH**2}}
    model = build(shrink("kosmos-2.5", words, UNTIED | settings), words, seed=5)
    images = image_processor("Kosmos2_5ImageProcessorPil", patch_size={"height": PATCH, "width": PATCH})
    built = processor("Kosmos2_5Processor", images, words, num_image_tokens=4)
    built.images_kwargs = {"max_patches": 16}
    return model, built


def paddleocr_vl():
    words = tokenizer()
    model = build(shrink("paddleocr_vl", words, {"text_config": {"rope_parameters": SECTIONS}}), words)
    images = image_processor("PaddleOCRVLImageProcessorPil", patch_size=PATCH, size=PIXELS)
    return model, processor("PaddleOCRVLProcessor", images, words, chat_template=template())


def lighton_ocr():
    words = tokenizer(image_break_token="<|vision_pad|>", image_end_token="<|vision_end|>")
    model = build(shrink("lighton_ocr", words), words)
    images = image_processor("PixtralImageProcessorPil", patch_size=2 * PATCH, size={"longest_edge": 2 * IMAGE})
    return model, processor("LightOnOcrProcessor", images, words, patch_size=PATCH, chat_template=template())


def exaone4_5():
    words = tokenizer(image_token="<|image_pad|>", video_token="<|video_pad|>")
    model = build(shrink("exaone4_5", words), words)
    images = image_processor("Qwen2VLImageProcessorPil", patch_size=PATCH, size=PIXELS)
    return model, processor("Exaone4_5_Processor", images, words, chat_template=template("<|image_pad|>"))


def minicpmv4_6():
    names = ["image", "image_start", "image_end", "slice_start", "slice_end", "image_id_start", "image_id_end", "video"]
    words = tokenizer(**{f"{name}_token": f"<|{name}|>" for name in names})
    model = build(shrink("minicpmv4_6", words), words)
    images = image_processor("MiniCPMV4_6ImageProcessorPil", patch_size=PATCH)
    settings = {"video_processor": images, "chat_template": template("<|image|>")}
    return model, processor("MiniCPMV4_6Processor", images, words, **settings)


def granite4_vision():
    words = tokenizer()
    settings = {"deepstack_layer_map": [[1, 1]], "spatial_target_layers": [0, 1, 2, 3], "downsample_rate": "1/2"}
    settings |= {"image_grid_pinpoints": [[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE]]}
    tower = {"hidden_size": 64, "num_attention_heads": 4}  # the Q-Former has one head for 64
    model = build(shrink("granite4_vision", words, settings | {"vision_config": tower}), words)
    images = image_processor("LlavaNextImageProcessorPil", crop_size={"height": IMAGE, "width": IMAGE})
    settings = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    images.image_grid_pinpoints = model.config.image_grid_pinpoints
    settings |= {"downsample_rate": "1/2"}
    return model, processor("Granite4VisionProcessor", images, words, chat_template=template(), **settings)


def granite_docling():
    words = tokenizer(fake="<fake_token_around_image>", whole="<global-img>")
    multipliers = {"embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 0.35}
    model = build(
        shrink("granite_docling", words, UNTIED | {"text_config": UNTIED["text_config"] | multipliers}), words
    )
    images = image_processor("GraniteDoclingImageProcessorPil")
    return model, processor("GraniteDoclingProcessor", images, words, image_seq_len=1, chat_template=template())


def vision_encoder_decoder():
    words = tokenizer()
    decoder = {"n_embd": WIDTH, "n_layer": 4, "n_head": 4, "n_positions": 64, "add_cross_attention": True}
    decoder |= {"is_decoder": True, "tie_word_embeddings": False}
    parts = {"encoder": shrink("vit", words).to_dict(), "decoder": shrink("gpt2", words, decoder).to_dict()}
    parts |= {"decoder_start_token_id": words.bos_token_id, "pad_token_id": words.pad_token_id}
    model = build(shrink("vision-encoder-decoder", words, parts), words)
    return model, processor("TrOCRProcessor", image_processor("ViTImageProcessorPil"), words)


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
    Family("blip", blip, note="forward: by a hook; its forward pass returns the hidden states of its vision model"),
    Family("pix2struct", pix2struct),
    Family("got_ocr2", got_ocr2),
    Family("video_llama_3", video_llama_3),
    Family("hunyuan_vl", hunyuan_vl, alone="it counts the images of a batch as part of their positions: refused"),
    Family("ernie4_5_vl_moe", ernie4_5_vl_moe),
    Family("t5gemma2", t5gemma2),
    Family("kosmos-2.5", kosmos_2_5),
    Family("paddleocr_vl", paddleocr_vl),
    Family("lighton_ocr", lighton_ocr),
    Family("exaone4_5", exaone4_5),
    Family("minicpmv4_6", minicpmv4_6, alone="its vision model takes the first image's shape for all: refused"),
    Family("granite4_vision", granite4_vision),
    Family("granite_docling", granite_docling),
    Family("vision-encoder-decoder", vision_encoder_decoder),
]
