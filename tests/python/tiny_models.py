"""Tiny image-text models of real transformers classes, with processors and tokenizers, all built locally.

``tiny_llava`` and ``tiny_idefics3`` have random weights; ``SpeakingLlava`` is a LLaVA whose weights are set so that
what it says and every hidden state on the way are known in closed form. No file is read and nothing is downloaded.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

PROMPT = "<image>A photo of"
SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
WORDS = ["a", "the", "one", "red", "blue", "dog", "cat", "bird", "house", "tree", "on", "in", "and", "photo", "of"]


@pytest.fixture(autouse=True)
def one_thread():
    """The models here are so small that threads cost more than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def byte_level_tokenizer(pieces=WORDS) -> PreTrainedTokenizerFast:
    """Byte-level BPE: all 256 bytes, and each of ``pieces`` as one token, with and without a space before it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    merges = []
    for piece in (spaced for word in pieces for spaced in (f" {word}", word)):
        spelt = "".join(_byte_characters(piece))
        for end in range(2, len(spelt) + 1):
            if spelt[:end] not in vocabulary:
                vocabulary[spelt[:end]] = len(vocabulary)
                merges.append((spelt[: end - 1], spelt[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer)


def unigram_tokenizer(pieces) -> PreTrainedTokenizerFast:
    """SentencePiece's Unigram with byte fallback: ``pieces`` carry ``▁`` where a space goes before them."""
    entries = [(token, 0.0) for token in SPECIAL]
    entries += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    entries += [(piece, -1.0) for piece in dict.fromkeys([*pieces, "▁"])]
    tokenizer = Tokenizer(models.Unigram(entries, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _fast(tokenizer)


def wordpiece_tokenizer(pieces) -> PreTrainedTokenizerFast:
    """WordPiece, lower case: ``pieces`` carry ``##`` where they continue a word."""
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, "[UNK]", *pieces]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _fast(tokenizer)


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )


def _byte_characters(text: str) -> list[str]:
    return [c for token, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text) for c in token]


def image(seed: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A picture of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def tiny_llava(seed: int = 0, tokenizer: PreTrainedTokenizerFast | None = None, **text_settings):
    """A LLaVA with a CLIP tower (16 px, 4 visual tokens) and a Llama of 3 layers; random weights, words for words."""
    tokenizer = tokenizer or byte_level_tokenizer()
    torch.manual_seed(seed)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        ),
        text_config=LlamaConfig(**_text_settings(tokenizer) | text_settings),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config).float()
    _finish(model, tokenizer)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"height": 16, "width": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return model, processor


def _text_settings(tokenizer: PreTrainedTokenizerFast) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        # Larger than the usual 0.02: the residual stream then depends on everything before, and captions on the image.
        "initializer_range": 0.3,
    }


def _finish(model, tokenizer) -> None:
    """Random, but it speaks in whole words: the other tokens but the end of sequence have no logit to win with."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and parameter.ndim == 1:  # a norm of ones would hide one that is applied twice
                parameter.uniform_(0.5, 1.5)
        embedding = model.get_output_embeddings()
        words = {f" {word}" for word in WORDS}
        silent = [i for i in range(len(tokenizer)) if tokenizer.decode([i]) not in words]
        embedding.weight[silent] = 0.0
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.eval()


class SpeakingLlava:
    """A LLaVA that says ``sentences[i]`` about ``images[i]``, with every hidden state known.

    All attention and MLP outputs are zero, so the residual stream at a position is the embedding of the token there,
    whatever the layer and whatever came before. Embeddings are the first ``len(tokenizer)`` unit vectors times the
    token's own scale; visual features live in the remaining dimensions. ``W_U`` sends the embedding of each token to
    the next token of its sentence (sentences may share a token only where they continue alike from it on), and the
    last visual token, with which the prompt must end, to the first token of its image's sentence.

    The state that predicts a generated token is therefore exactly the embedding of the token before it.
    """

    def __init__(self, sentences, tokenizer, prompt: str = "<image>", n_layers: int = 3) -> None:
        self.tokenizer = tokenizer
        self.sentences = [tokenizer.encode(s, add_special_tokens=False) for s in sentences]
        self.images = [image(100 + i) for i in range(len(sentences))]
        vocabulary, visual = len(tokenizer), 16
        self.model, self.processor = tiny_llava(
            tokenizer=tokenizer, hidden_size=-(-(vocabulary + visual) // 8) * 8, num_hidden_layers=n_layers
        )
        self.prompt = prompt
        self._rig(vocabulary)

    def embedding(self, token: int) -> np.ndarray:
        return self.model.get_input_embeddings().weight[token].detach().numpy()

    @torch.no_grad()
    def _rig(self, vocabulary: int) -> None:
        model = self.model
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        width = model.config.text_config.hidden_size
        embeddings = model.get_input_embeddings().weight
        embeddings.zero_()
        embeddings[:, :vocabulary] = torch.diag(torch.linspace(1.0, 2.0, vocabulary))
        final_norm = model.model.language_model.norm
        final_norm.weight.copy_(torch.linspace(0.5, 1.5, width))
        projector = model.model.multi_modal_projector.linear_2
        projector.weight[:vocabulary] = 0.0
        projector.bias[:vocabulary] = 0.0
        unembedding = model.get_output_embeddings().weight
        unembedding.zero_()
        end = self.tokenizer.eos_token_id
        following: dict[int, int] = {}
        for ids in self.sentences:
            for token, successor in zip(ids, [*ids[1:], end], strict=True):
                if following.setdefault(token, successor) != successor:
                    raise ValueError(f"token {self.tokenizer.decode([token])!r} has two successors")
        for token, successor in following.items():
            unembedding[successor] += final_norm(embeddings[token]) / width
        pixels = self.processor.image_processor(self.images, return_tensors="pt")["pixel_values"]
        features = model.model.get_image_features(pixels, return_dict=True).pooler_output
        last = final_norm(torch.stack([f[-1] for f in features]))
        # Rows that answer 1 to their own image's feature and 0 to the others'.
        for ids, row in zip(self.sentences, torch.linalg.pinv(last).T, strict=True):
            unembedding[ids[0]] += row


def tiny_idefics3(seed: int = 0):
    """An Idefics3 of 2 layers, random weights: an image is cut in tiles, so prompts differ in length."""
    tokenizer = byte_level_tokenizer()
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
        tokenizer,
        image_seq_len=4,
        chat_template=CHAT_TEMPLATE,
    )
    torch.manual_seed(seed)
    config = Idefics3Config(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 4,
        },
        text_config=LlamaConfig(**_text_settings(tokenizer) | {"num_hidden_layers": 2}),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    model = Idefics3ForConditionalGeneration(config).float()
    _finish(model, tokenizer)
    return model, processor
