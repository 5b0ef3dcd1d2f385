"""Stage one: the vision tower, a small CLIPVisionModel under dense supervision.

Every patch predicts the noun and the tint of the object that covers it, and the background. A loss on the pooled
image learns the same an order of magnitude more slowly: each scene gives one target instead of thirty-six.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from training import train
from transformers import CLIPVisionConfig, CLIPVisionModel

from coxlmm.demo import world

CONFIG = CLIPVisionConfig(
    image_size=world.IMAGE_SIZE,
    patch_size=16,
    hidden_size=192,
    intermediate_size=768,
    num_hidden_layers=6,
    num_attention_heads=6,
    hidden_act="gelu",
)
GRID = CONFIG.image_size // CONFIG.patch_size
TINTS = ("none", *world.TINTS)
NO_OBJECT = len(world.NOUNS)
IGNORED = -100
COVERED, BARE = 0.15, 0.02  # a patch shows an object from the first share of its area on, and none below the second


def make_batch(indices: range, split: str = "train") -> dict[str, torch.Tensor]:
    images, nouns, tints, backgrounds = [], [], [], []
    for scene in world.scenes(split, indices):
        image, cover = scene.render()
        images.append(image)
        side = CONFIG.patch_size
        share = cover.reshape(-1, GRID, side, GRID, side).mean((2, 4)).reshape(-1, GRID * GRID)
        owner, most = share.argmax(0), share.max(0)
        noun = np.array([world.NOUNS.index(o.noun) for o in scene.objects])[owner]
        tint = np.array([TINTS.index(o.tint or "none") for o in scene.objects])[owner]
        nouns.append(np.select([most >= COVERED, most <= BARE], [noun, NO_OBJECT], IGNORED))
        tints.append(np.where(most >= COVERED, tint, IGNORED))
        backgrounds.append(np.full(GRID * GRID, list(world.BACKGROUNDS).index(scene.background)))
    return {
        "images": torch.from_numpy(np.stack(images)),
        "noun": torch.from_numpy(np.stack(nouns)),
        "tint": torch.from_numpy(np.stack(tints)),
        "background": torch.from_numpy(np.stack(backgrounds)),
    }


class DenseTower(nn.Module):
    """The tower and the three linear heads that only its training needs."""

    def __init__(self):
        super().__init__()
        # Eager attention: the backward pass of the fused kernel takes most of a step on a CPU.
        self.tower = CLIPVisionModel._from_config(CONFIG, attn_implementation="eager")
        width = CONFIG.hidden_size
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict(
            {
                "noun": nn.Linear(width, len(world.NOUNS) + 1),
                "tint": nn.Linear(width, len(TINTS)),
                "background": nn.Linear(width, len(world.BACKGROUNDS)),
            }
        )

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        pixels = normalize(images)
        with torch.autocast("cpu", torch.bfloat16):
            # The connector of LLaVA reads the last hidden state before the tower's own final norm, without the
            # class token: what is supervised here is what it will read.
            tokens = self.tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        tokens = self.norm(tokens.float())
        return {name: head(tokens) for name, head in self.heads.items()}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = self(batch["images"])
        weight = torch.ones(len(world.NOUNS) + 1)
        weight[NO_OBJECT] = 0.2
        noun = nn.functional.cross_entropy(logits["noun"].flatten(0, 1), batch["noun"].flatten(), weight)
        tint = nn.functional.cross_entropy(logits["tint"].flatten(0, 1), batch["tint"].flatten())
        background = nn.functional.cross_entropy(logits["background"].flatten(0, 1), batch["background"].flatten())
        return noun + 0.5 * tint + 0.2 * background


def normalize(images: torch.Tensor) -> torch.Tensor:
    """n x 96 x 96 x 3 bytes -> n x 3 x 96 x 96 in [-1, 1], as the processor of the demo model does."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def accuracy(model: DenseTower, split: str, n: int = 512) -> dict[str, float]:
    """Share of covered patches whose noun and tint is right, and of all patches whose background is."""
    hits = {"noun": [], "tint": [], "background": []}
    for at in range(0, n, 128):
        batch = make_batch(range(at, at + 128), split)
        covered = batch["tint"] != IGNORED
        for name, logits in model(batch["images"]).items():
            right = logits.argmax(-1) == batch[name]
            hits[name].append(right[covered] if name != "background" else right.flatten())
    return {f"{split}_{name}": round(torch.cat(h).float().mean().item(), 4) for name, h in hits.items()}


def train_tower(out: Path, steps: int, batch_size: int) -> DenseTower:
    torch.manual_seed(0)
    model = DenseTower()
    train(
        model,
        model.loss,
        make_batch,
        out=out,
        name="tower",
        steps=steps,
        batch_size=batch_size,
        evaluate=lambda: accuracy(model, "test") | accuracy(model, "novel"),
    )
    return model.eval().requires_grad_(False)
