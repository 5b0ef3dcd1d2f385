"""A concept dictionary on disk and on the Hugging Face hub.

A directory, or a repository, of four things: ``config.json`` has every field of the dictionary in JSON, in which arrays
and images are names; ``dictionary.safetensors`` has the arrays; ``images/`` the thumbnails, equal ones once;
``README.md`` is the model card. Nothing is pickled, and nothing in a file names code to run. ``"version"`` is that of
the format, "major.minor": a release reads all older ones, of a newer minor one what it knows, and refuses a newer major
one.
"""

from coxlmm.serialization.directory import holds_dictionary, load, save
from coxlmm.serialization.hub import locate, push

__all__ = ["holds_dictionary", "load", "locate", "push", "save"]
