"""scikit-learn's own contract for estimators."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from coxlmm.estimators import NMF, PCA, KMeans, LargestNorm, SemiNMF, Whitened


# Three components, because the checks fit data sets of a dozen samples; one of each kind of start.
@parametrize_with_checks(
    [
        SemiNMF(3, l1=0.1, max_iter=20),
        SemiNMF(2, init="samples", n_init=1),
        SemiNMF(2, init="random", n_jobs=1),
        NMF(3, l1=0.1, max_iter=20),
        NMF(2, init="svd", n_init=1),
        PCA(1),
        KMeans(3, n_init=2),
        LargestNorm(3, l1=0.1),
        Whitened(SemiNMF(2, l1=0.03, max_iter=20)),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
