"""Estimators with scikit-learn's interface over the compiled core.

Nothing here imports torch or transformers.
"""

from coxlmm.estimators.semi_nmf import SemiNMF

__all__ = ["SemiNMF"]
