"""Samples, and where they come from."""

from coxlmm.samples.captions import CocoCaptions, JsonLines
from coxlmm.samples.folder import ImageFolder
from coxlmm.samples.huggingface import HFDataset
from coxlmm.samples.sample import Sample, as_samples, hash_of
from coxlmm.samples.source import Source, open_source
from coxlmm.samples.webdataset import WebDataset

__all__ = [
    "CocoCaptions", "HFDataset", "ImageFolder", "JsonLines", "Sample", "Source", "WebDataset", "as_samples",
    "hash_of", "open_source",
]  # fmt: skip
