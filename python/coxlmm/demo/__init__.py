"""The demo: a world whose factors are known, and a small LMM that captions it.

``coxlmm demo`` (:func:`coxlmm.demo.pipeline.run`) runs the main job on them from end to end.
"""

from coxlmm.demo.model import PROMPT, load_lmm
from coxlmm.demo.world import Scene, scene, scenes

__all__ = ["PROMPT", "Scene", "load_lmm", "scene", "scenes"]
