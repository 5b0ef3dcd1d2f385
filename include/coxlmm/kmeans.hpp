// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"
#include "coxlmm/core/initial_matrix.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/detail/kmeans.hpp"

namespace coxlmm {

struct kmeans_options {
    /// K: 1 <= K <= number of samples.
    std::int64_t n_clusters = 0;
    /// Starts by k-means++ to try; the best is kept. Where D is at least 8 K + 80 and M at least 2 K + 20, they compete in 2 K + 20 directions that
    /// hold most of X, which costs little, and the winner is finished on X.
    std::int64_t n_init = 10;
    /// The only start, instead of k-means++.
    initial_matrix initial = {};
    /// Most iterations, of each start and of the final run.
    std::int64_t max_iter = 300;
    /// Converged when an iteration moved the centers, in squared length summed over them, by at most this share of the
    /// mean variance of the features; with 0, when no sample changes its cluster any more.
    double tol = 1e-4;
    /// Same seed, same shape: same bits, on any number of threads.
    std::uint64_t seed = 0;
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `kmeans`.
    std::function<void()> checkpoint = {};
};

template <class T>
struct kmeans_result {
    matrix<T> centers;                 ///< K x D
    std::vector<std::int64_t> labels;  ///< of every sample its nearest center; the lowest of equally near ones
    std::vector<std::int64_t> counts;  ///< samples of every center; 0 if X has fewer than K different samples, or max_iter ended the fit early
    double inertia = 0;                ///< sum of the squared distances of the samples to their centers
    std::vector<double> history;       ///< the inertia at the start of the final run and after every iteration of it
    std::int64_t n_iter = 0;           ///< of the final run
    stop_reason stop = stop_reason::max_iter;
};

/// k-means: K centers that minimise the sum of the squared distances of the samples to their nearest centers, by Lloyd's
/// iterations from greedy k-means++ starts. A local optimum, not necessarily the global one.
///
/// X is M x D, one sample a row, of any strides or in several blocks (row_blocks); it is not copied. An iteration is one
/// read of X and 2 M K D floating-point operations. Samples are seen from their mean as they are read, and distances
/// that cancel are computed anew from the differences, so a large mean and tight clusters cost no accuracy. A cluster
/// that loses all its samples takes over the one that is farthest from its center. The inertia never rises.
///
/// Throws std::invalid_argument for an empty X, NaN or infinity (with row and column), an X whose squares do not fit its
/// precision, n_clusters outside [1, M], n_init or max_iter < 1, a negative or non-finite tol, or initial centers of
/// another shape than K x D.
///
/// Source: Lloyd, IEEE Trans. Inf. Theory 28 (1982); Arthur, Vassilvitskii, "k-means++", SODA 2007; Cohen, Elder, Musco,
/// Musco, Persu, "Dimensionality Reduction for k-Means Clustering", STOC 2015.
template <SampleMatrix M>
kmeans_result<precision_t<M>> kmeans(const M& x, const kmeans_options& options) {
    using T = precision_t<M>;
    const row_blocks<T> samples = as_row_blocks(x);
    const std::int64_t k = options.n_clusters;
    require_count(samples, k, "n_clusters");
    if (options.n_init < 1) throw_invalid("n_init is ", options.n_init, ": at least 1 is needed");
    if (options.max_iter < 1) throw_invalid("max_iter is ", options.max_iter, ": at least 1 is needed");
    if (!(options.tol >= 0) || !is_finite(options.tol))
        throw_invalid("tol is ", options.tol, ": it must be finite and >= 0");
    detail::kmeans_settings<T> settings{.n_clusters = k,
                                        .n_init = options.n_init,
                                        .given = {},
                                        .max_iter = options.max_iter,
                                        .tol = options.tol,
                                        .seed = options.seed};
    if (auto start = read_initial<T>(options.initial, k, samples.cols(), "initial centers", "n_clusters x n_features")) {
        settings.given = std::move(*start);
    }
    thread_pool pool(options.n_threads, options.checkpoint);
    auto found = detail::fit_kmeans(samples, settings, pool);
    const double inertia = found.history.back();
    return {.centers = std::move(found.centers),
            .labels = std::move(found.labels),
            .counts = std::move(found.counts),
            .inertia = inertia,
            .history = std::move(found.history),
            .n_iter = found.n_iter,
            .stop = found.stop};
}

struct kmeans_activations_options {
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `kmeans_activations`.
    std::function<void()> checkpoint = {};
};

/// How close every sample is to every center: 1 / (1 + |x - c|), M x K, with the Euclidean distance; 1 at the center
/// itself. The activations that the paper's published code gives k-means.
///
/// X is M x D, the centers K x D, computed in the same precision. Costs 2 M K D floating-point operations.
///
/// Throws std::invalid_argument for empty matrices, different numbers of features, NaN or infinity (with row and
/// column), or squares that do not fit the precision.
template <SampleMatrix M, SampleMatrix C>
    requires HaveSamePrecision<M, C>
matrix<precision_t<M>> kmeans_activations(const M& x, const C& centers, const kmeans_activations_options& options = {}) {
    using T = precision_t<M>;
    const row_blocks<T> samples = as_row_blocks(x);
    const row_blocks<T> points = as_row_blocks(centers);
    require_nonempty(samples, "X");
    require_nonempty(points, "the matrix of centers");
    if (samples.cols() != points.cols()) {
        throw_invalid("X has ", samples.cols(), " features but the centers have ", points.cols(), " (shapes ",
                      samples.rows(), " x ", samples.cols(), " and ", points.rows(), " x ", points.cols(), ")");
    }
    thread_pool pool(options.n_threads, options.checkpoint);
    return detail::closeness(samples, points, pool);
}

}  // namespace coxlmm
