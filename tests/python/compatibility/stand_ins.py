"""Stand-ins for image processors that only torchvision can run: the same outputs, for tiles of one size.

A square image is one tile; a wide or a tall one is two halves and a tile of the whole, so that prompts differ in
length.
"""

from typing import Any

import numpy as np
import torch
from compatibility.shrink import IMAGE, PATCH
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict
from transformers.processing_utils import ImagesKwargs

GRID = IMAGE // PATCH  # patches a side


class Tiles(PilBackend):
    do_convert_rgb = True
    tile_size, encoder_patch_size, patch_size = IMAGE, PATCH, GRID // 2
    downsample_factor, use_thumbnail = 2, True

    def _preprocess(self, images: list[np.ndarray], **settings: Any) -> BatchFeature:
        return BatchFeature(self.arranged([self._tiles(image) for image in images]))

    def _tiles(self, image: np.ndarray) -> torch.Tensor:
        """Tiles x channels x height x width; the last one is the whole image."""
        sides = image.shape[1:]
        halves = np.array_split(image, 2, axis=1 + int(np.argmax(sides))) if sides[0] != sides[1] else []
        tiles = [self.resize(part, SizeDict(height=IMAGE, width=IMAGE)) for part in (*halves, image)]
        return torch.tensor(np.stack(tiles)).float() / 127.5 - 1

    def arranged(self, tiles: list[torch.Tensor]) -> dict[str, Any]:
        """What the model takes, of the tiles of each image."""
        raise NotImplementedError


def patches(tiles: torch.Tensor) -> torch.Tensor:
    """Tiles x patches x values of a patch."""
    n = len(tiles)
    return tiles.reshape(n, 3, GRID, PATCH, GRID, PATCH).permute(0, 2, 4, 3, 5, 1).reshape(n, GRID**2, -1)


class Cohere2Vision(Tiles):
    def arranged(self, tiles: list[torch.Tensor]) -> dict[str, Any]:
        return {"pixel_values": torch.cat(tiles), "num_patches": [len(t) for t in tiles]}


class PerceptionLM(Tiles):
    """One tile an image: the real one refuses batches of images that differ in their number."""

    def arranged(self, tiles: list[torch.Tensor]) -> dict[str, Any]:
        return {"pixel_values": torch.stack([t[-1:] for t in tiles])}


class Lfm2Kwargs(ImagesKwargs, total=False):
    return_row_col_info: bool


class Lfm2Vl(Tiles):
    valid_kwargs = Lfm2Kwargs

    def arranged(self, tiles: list[torch.Tensor]) -> dict[str, Any]:
        values = patches(torch.cat(tiles))
        return {
            "pixel_values": values,
            "pixel_attention_mask": torch.ones(values.shape[:2], dtype=torch.long),
            "spatial_shapes": torch.tensor([[GRID, GRID]] * len(values)),
            "image_rows": [1] * len(tiles),
            "image_cols": [max(1, len(t) - 1) for t in tiles],
            "image_sizes": [[IMAGE, IMAGE]] * len(tiles),
        }


class Molmo2(Tiles):
    """The whole image at low resolution, then its tiles in a row, each pooled two by two."""

    def arranged(self, tiles: list[torch.Tensor]) -> dict[str, Any]:
        pools = torch.arange(GRID**2).reshape(GRID // 2, 2, GRID // 2, 2).transpose(1, 2).reshape(GRID // 2, -1, 4)
        crops, pooling, grids = [], [], []
        for t in tiles:
            high = t[:-1] if len(t) > 1 else t
            start = GRID**2 * sum(map(len, crops))
            rows = torch.cat([start + GRID**2 * (1 + i) + pools for i in range(len(high))], dim=1)
            pooling += [(start + pools).reshape(-1, 4), rows.reshape(-1, 4)]
            crops += [t[-1:], high]
            grids.append([*pools.shape[:2], *rows.shape[:2]])
        return {
            "pixel_values": patches(torch.cat(crops)),
            "image_token_pooling": torch.cat(pooling),
            "image_grids": torch.tensor(grids),
            "image_num_crops": torch.tensor([1 + max(1, len(t) - 1) for t in tiles]),
        }
