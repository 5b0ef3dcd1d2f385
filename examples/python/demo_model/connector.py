"""Stage two: the connector, LLaVA's own projector, trained on captions with the tower and the language model frozen."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from tower import CONFIG as VISION_CONFIG
from tower import DenseTower, normalize
from training import train
from transformers import LlamaConfig, LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from coxlmm.demo import model as demo_model
from coxlmm.demo import world

PROMPT_TEXT = demo_model.PROMPT.removeprefix("<image>")


def make_config(text: LlamaConfig) -> LlavaConfig:
    """The whole model's configuration; ``text`` is the language model's."""
    fields = text.to_dict()
    for name in ("quantization_config", "_name_or_path", "architectures", "transformers_version"):
        fields.pop(name, None)
    config = LlavaConfig(
        vision_config=VISION_CONFIG,
        text_config=LlamaConfig(**fields),
        image_token_index=demo_model.IMAGE_TOKEN_ID,
        image_seq_length=(VISION_CONFIG.image_size // VISION_CONFIG.patch_size) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )
    config.architectures = ["LlavaForConditionalGeneration"]
    return config


def make_batch(indices: range) -> dict:
    batch = list(world.scenes("train", indices))
    return {
        "images": torch.stack([torch.from_numpy(s.render()[0]) for s in batch]),
        "captions": [s.reference for s in batch],
    }


class Captioner(nn.Module):
    """Visual tokens, the prompt and the caption in one sequence through the frozen language model."""

    def __init__(self, tower: DenseTower, language_model: nn.Module):
        super().__init__()
        self.projector = LlavaMultiModalProjector(make_config(language_model.config))
        # Not submodules: only the projector is trained and saved.
        self.frozen = {
            "tower": tower.eval().requires_grad_(False),
            "lm": language_model.eval().requires_grad_(False).to(torch.bfloat16),
        }
        self.tokenizer = demo_model.load_tokenizer()
        self.tokenizer.padding_side = "right"

    def loss(self, batch: dict) -> torch.Tensor:
        tower, lm = self.frozen["tower"], self.frozen["lm"]
        end = self.tokenizer.eos_token
        prompt = self.tokenizer(PROMPT_TEXT).input_ids
        texts = self.tokenizer(
            [f"{PROMPT_TEXT} {c}.{end}" for c in batch["captions"]], padding=True, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                seen = (
                    tower.tower(normalize(batch["images"]), output_hidden_states=True)
                    .hidden_states[-1][:, 1:]
                    .contiguous()
                )
                words = lm.get_input_embeddings()(texts.input_ids)
            visual = self.projector(seen)
            embeds = torch.cat([visual, words], 1).to(torch.bfloat16)
            # Padding stands on the right, where a causal model cannot see it from the caption.
            hidden = lm.model(inputs_embeds=embeds, use_cache=False).last_hidden_state
            # The state at the prompt's last token predicts the caption's first.
            first = visual.shape[1] + len(prompt)
            logits = lm.lm_head(hidden[:, first - 1 : -1].flatten(0, 1))  # flat: a strided batch would copy W_U per row
        targets = texts.input_ids.masked_fill(texts.attention_mask == 0, -100)[:, len(prompt) :]
        return nn.functional.cross_entropy(logits.float(), targets.flatten())


def train_connector(tower: DenseTower, out: Path, steps: int, batch_size: int) -> Captioner:
    torch.manual_seed(1)
    language_model = demo_model.load_language_model()
    # Eager attention: the backward pass of the fused kernel takes most of a step on a CPU.
    language_model.config._attn_implementation = "eager"
    captioner = Captioner(tower.half().float(), language_model)  # as shipped: in half precision
    train(
        captioner,
        captioner.loss,
        make_batch,
        out=out,
        name="connector",
        steps=steps,
        batch_size=batch_size,
        weight_decay=0.0,
    )
    return captioner


def ship(tower: DenseTower, captioner: Captioner, directory: Path) -> None:
    """Write the tower and the connector in half precision, and the whole model's configuration."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {f"model.vision_tower.{n}": w for n, w in tower.tower.state_dict().items()}
    weights |= {f"model.multi_modal_projector.{n}": w for n, w in captioner.projector.state_dict().items()}
    weights = {n: w.half() if w.is_floating_point() else w for n, w in weights.items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    make_config(captioner.frozen["lm"].config).save_pretrained(directory)
