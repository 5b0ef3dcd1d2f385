"""Visual tokens are those positions that the model fills with features of the image: as many as it makes."""

import inspect

import pytest
import torch
from compatibility import table
from tiny_models import image

from coxlmm import LMM

FAMILIES = {family.name: family for family in table.FAMILIES}
# Image tokens in the prompt, tiles with separators between them, marks around the image, masks instead of tokens.
NAMES = ["llava_next", "qwen2_vl", "gemma3", "idefics3", "molmo2", "blip-2", "hunyuan_vl", "kosmos-2", "kosmos-2.5"]


@pytest.mark.parametrize("name", NAMES)
def test_as_many_as_the_model_has_features_of_the_image(name):
    model, processor = FAMILIES[name].build()
    lmm = LMM(model, processor, prompt=FAMILIES[name].prompt)
    for size in ((32, 32), (64, 32)):
        inputs = lmm.inputs([image(0, size)])
        positions = lmm.visual_positions(inputs)
        assert positions.shape == inputs["input_ids"].shape
        assert positions.dtype == torch.bool
        assert int(positions.sum()) == n_image_features(model, inputs)


def n_image_features(model, inputs):
    owner = model if hasattr(model, "get_image_features") else model.model
    taken = inspect.signature(owner.get_image_features).parameters
    arguments = {key: value for key, value in inputs.items() if key in taken or key == "pixel_values"}
    with torch.no_grad():
        features = owner.get_image_features(**arguments)
    features = getattr(features, "pooler_output", features)
    features = features if isinstance(features, (list, tuple)) else [features]
    return sum(part.flatten(0, -2).shape[0] for part in features)
