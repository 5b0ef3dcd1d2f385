"""A concept dictionary on disk and on the Hugging Face hub."""

from coxlmm.serialization.directory import holds_dictionary, load, save
from coxlmm.serialization.hub import locate, push

__all__ = ["holds_dictionary", "load", "locate", "push", "save"]
