"""coxlmm: what a frozen large multimodal model represents inside, as concepts grounded in images and in words.

The names below are loaded on first use, so that the numerical part (``SemiNMF``, ``States``, ``ConceptDictionary``)
never imports torch or transformers.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coxlmm.config import show_config as show_config
    from coxlmm.dictionary import ConceptDictionary as ConceptDictionary
    from coxlmm.estimators import NMF as NMF
    from coxlmm.estimators import PCA as PCA
    from coxlmm.estimators import KMeans as KMeans
    from coxlmm.estimators import LargestNorm as LargestNorm
    from coxlmm.estimators import SemiNMF as SemiNMF
    from coxlmm.estimators import Whitened as Whitened
    from coxlmm.explanation import Explanation as Explanation
    from coxlmm.models import LMM as LMM
    from coxlmm.row_blocks import RowBlocks as RowBlocks
    from coxlmm.states import States as States
    from coxlmm.vocabulary import Vocabulary as Vocabulary

    __version__: str

_EXPORTS = {
    "show_config": "coxlmm.config",
    "SemiNMF": "coxlmm.estimators",
    "NMF": "coxlmm.estimators",
    "PCA": "coxlmm.estimators",
    "KMeans": "coxlmm.estimators",
    "LargestNorm": "coxlmm.estimators",
    "Whitened": "coxlmm.estimators",
    "LMM": "coxlmm.models",
    "RowBlocks": "coxlmm.row_blocks",
    "States": "coxlmm.states",
    "Vocabulary": "coxlmm.vocabulary",
    "ConceptDictionary": "coxlmm.dictionary",
    "Explanation": "coxlmm.explanation",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("coxlmm")
    if name in _EXPORTS:
        value = getattr(import_module(_EXPORTS[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'coxlmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
