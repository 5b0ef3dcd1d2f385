"""What a repository with code of its own looks like: a model and a processor that transformers does not know."""

import numpy as np
import torch
from compatibility.shrink import IMAGE, PATCH, WIDTH
from torch import nn
from transformers import GenerationMixin, LlamaConfig, LlamaForCausalLM, PreTrainedConfig, PreTrainedModel

N_PATCHES = (IMAGE // PATCH) ** 2


class PatchesConfig(PreTrainedConfig):
    model_type = "patches_and_llama"

    def __init__(self, llm_config=None, image_token_id=None, **kwargs):
        self.llm_config = llm_config or LlamaConfig()
        self.image_token_id = image_token_id
        super().__init__(**kwargs)

    def get_text_config(self, decoder=None, encoder=None):
        return self.llm_config


class PatchesAndLlama(PreTrainedModel, GenerationMixin):
    """Pixels of patches, through one matrix, in place of the image's tokens."""

    config_class = PatchesConfig

    def __init__(self, config):
        super().__init__(config)
        self.vision = nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.llm = LlamaForCausalLM(config.llm_config)
        self.post_init()

    def get_input_embeddings(self):
        return self.llm.get_input_embeddings()

    def get_output_embeddings(self):
        return self.llm.get_output_embeddings()

    def forward(self, input_ids=None, patches=None, **kwargs):
        embeddings = self.get_input_embeddings()(input_ids)
        there = input_ids == self.config.image_token_id
        if patches is not None and there.any():  # later steps have the cache
            embeddings = embeddings.masked_scatter(there.unsqueeze(-1), self.vision(patches))
        return self.llm(inputs_embeds=embeddings, **kwargs)


class PatchesProcessor:
    """One image for each text, and no options."""

    image_token = "<image>"

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, text, images, padding, return_tensors):
        patches = torch.tensor(np.stack([self._patches(image) for image in images]))
        # The wider the image, the longer the prompt.
        texts = [
            prompt.replace("<image>", "<image>" * N_PATCHES + "." * (image.width // IMAGE))
            for prompt, image in zip(text, images, strict=True)
        ]
        encoded = self.tokenizer(texts, padding=padding, return_tensors=return_tensors)
        return {**encoded, "patches": patches}

    @staticmethod
    def _patches(image):
        pixels = np.asarray(image.convert("RGB").resize((IMAGE, IMAGE)), np.float32) / 255
        blocks = pixels.reshape(IMAGE // PATCH, PATCH, IMAGE // PATCH, PATCH, 3)
        return blocks.transpose(0, 2, 1, 3, 4).reshape(N_PATCHES, -1)
