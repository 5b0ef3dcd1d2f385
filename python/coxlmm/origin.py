"""Whether a dictionary and a model belong together."""

from typing import TYPE_CHECKING

from coxlmm.dictionary import ConceptDictionary
from coxlmm.verification import require_prompt

if TYPE_CHECKING:
    from coxlmm.models import LMM


def require_origin(dictionary: ConceptDictionary, lmm: "LMM") -> None:
    """Raises ValueError if a dictionary does not tell of what states it is, or they are not of this model."""
    manifest = dictionary.manifest
    position = manifest.get("position", "predicting")
    if "layer" not in manifest or (dictionary.word is None and position in ("predicting", "word")):
        raise ValueError("the dictionary's manifest has no word or no layer: it was fitted to states of unknown origin")
    if manifest.get("n_layers", lmm.n_layers) != lmm.n_layers:
        raise ValueError(
            f"the dictionary is of {manifest.get('model_id')} with {manifest['n_layers']} layers, "
            f"but {lmm.model_id} has {lmm.n_layers}"
        )
    require_prompt(lmm, manifest)
