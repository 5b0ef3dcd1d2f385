"""Samples, and where they come from."""

from coxlmm.samples.sample import Sample, as_samples

__all__ = ["Sample", "as_samples"]
