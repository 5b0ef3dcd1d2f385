"""Estimators with scikit-learn's interface over the compiled core.

All of them decompose samples into concepts by one contract, :class:`coxlmm.estimators.base.ConceptEstimator`, so that
they can be exchanged. Nothing here imports torch or transformers.
"""

from coxlmm.estimators.kmeans import KMeans
from coxlmm.estimators.largest_norm import LargestNorm
from coxlmm.estimators.nmf import NMF
from coxlmm.estimators.pca import PCA
from coxlmm.estimators.semi_nmf import SemiNMF
from coxlmm.estimators.whitened import Whitened

__all__ = ["NMF", "PCA", "KMeans", "LargestNorm", "SemiNMF", "Whitened"]
