// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/pca.hpp"

namespace coxlmm {

enum class pca_solver {
    automatic,   ///< full where min(M, D) <= 500 or most of the components are asked for, randomized otherwise
    full,        ///< exact: eigenvectors of the smaller of the two Gram matrices, in double
    randomized,  ///< within a random subspace and what power iterations make of it: a block Krylov space
};

struct pca_options {
    /// K, the number of components: 1 <= K <= min(M, D).
    std::int64_t n_components = 0;
    pca_solver solver = pca_solver::automatic;
    /// For the randomized solver, >= 0. Each reads X once more; more are needed the more slowly the variances decay. 3 hold
    /// as much variance as 7 do without the Krylov space, on planted concepts and on noise.
    std::int64_t n_power_iterations = 3;
    /// Of the random subspace. Same seed, same shape: same bits, on any number of threads.
    std::uint64_t seed = 0;
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `pca`.
    std::function<void()> checkpoint = {};
};

template <class T>
struct pca_result {
    matrix<T> mean;                                ///< 1 x D
    matrix<T> components;                          ///< K x D, orthonormal rows, of the largest variance first
    matrix<T> scores;                              ///< M x K: (X - mean) components^T
    std::vector<double> explained_variance;        ///< of every column of the scores, with M - 1 in the denominator
    std::vector<double> explained_variance_ratio;  ///< the same over the variance of X; 0 where X has none
    std::vector<double> singular_values;           ///< norms of the columns of the scores
    double total_variance = 0;                     ///< of X: the sum over its features
};

/// Principal component analysis: the K orthonormal directions that hold the most variance of the samples.
///
/// X is M x D, one sample a row, of any strides or in several blocks (row_blocks). It is neither copied nor centred:
/// every tile is seen from the mean as it is read, so a mean far from zero costs no accuracy. A component's sign, which
/// nothing else determines, makes its entry of largest absolute value positive. Components beyond the rank of X have no
/// variance and complete the others to an orthonormal set.
///
/// The full solver costs min(M, D) M D flops in double, 4/3 min(M, D)^3 more for the eigenvectors, on one thread, and
/// 8 min(M, D)^2 bytes of memory. The randomized one costs 4 M D (K + 10) flops and one read of X for each of
/// n_power_iterations products, as much for a first and a last pass together, and memory for n_power_iterations + 1 times
/// (K + 10) (M + D) numbers; its variances are at most those of the full one, up to rounding.
///
/// Throws std::invalid_argument for an empty X, fewer than 2 samples, NaN or infinity (with row and column), an X whose
/// squares do not fit its precision, n_components outside [1, min(M, D)], or n_power_iterations < 0.
///
/// Source: Halko, Martinsson, Tropp, "Finding Structure with Randomness", SIAM Review 53 (2011); Musco, Musco, "Randomized
/// Block Krylov Methods for Stronger and Faster Approximate Singular Value Decomposition", NeurIPS 2015.
template <SampleMatrix M>
pca_result<precision_t<M>> pca(const M& x, const pca_options& options) {
    using T = precision_t<M>;
    const row_blocks<T> samples = as_row_blocks(x);
    require_nonempty(samples, "X");
    const std::int64_t k = options.n_components;
    const std::int64_t most = std::min(samples.rows(), samples.cols());
    if (samples.rows() < 2) throw_invalid("X has 1 sample: a variance needs at least 2");
    if (k < 1) throw_invalid("n_components is ", k, ": at least 1 is needed");
    if (k > most) {
        throw_invalid("n_components is ", k, " but X, of shape ", samples.rows(), " x ", samples.cols(), ", has at most ",
                      most, " principal components: lower n_components or give more samples");
    }
    if (options.n_power_iterations < 0) {
        throw_invalid("n_power_iterations is ", options.n_power_iterations, ": it must be >= 0");
    }
    thread_pool pool(options.n_threads, options.checkpoint);
    auto found = detail::fit_pca(
        samples, k,
        options.solver == pca_solver::full || (options.solver == pca_solver::automatic && detail::prefers_exact(most, k)),
        options.n_power_iterations, options.seed, pool);

    pca_result<T> result{.mean = matrix<T>(1, samples.cols()),
                         .components = std::move(found.components),
                         .scores = std::move(found.scores),
                         .explained_variance = {},
                         .explained_variance_ratio = {},
                         .singular_values = {},
                         .total_variance = found.total_squares / static_cast<double>(samples.rows() - 1)};
    for (std::int64_t d = 0; d < samples.cols(); ++d) {
        result.mean(0, d) = static_cast<T>(found.mean[static_cast<std::size_t>(d)]);
    }
    for (const double squared : found.squares) {
        result.explained_variance.push_back(squared / static_cast<double>(samples.rows() - 1));
        result.explained_variance_ratio.push_back(found.total_squares > 0 ? squared / found.total_squares : 0);
        result.singular_values.push_back(std::sqrt(squared));
    }
    return result;
}

}  // namespace coxlmm
