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
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/detail/semi_nmf.hpp"

namespace coxlmm {

/// Where the dictionary starts.
enum class semi_nmf_init {
    samples,           ///< samples chosen uniformly
    kmeans_plus_plus,  ///< samples far from those already chosen
    svd,               ///< singular directions of X: the same from nearly every seed, so n_init does not matter
    random,            ///< random directions
};

/// One iteration as a callback sees it.
struct iteration {
    std::int64_t index = 0;  ///< 1, 2, ...
    double objective = 0;    ///< ||X - codes dictionary||_F^2 + l1 * sum(codes) after it
};

struct semi_nmf_options {
    /// K, the number of concepts: 1 <= K <= number of samples.
    std::int64_t n_components = 0;
    /// The weight of the l1 penalty, lambda of the paper; >= 0, in units of X. Solvers that halve the square
    /// (scikit-learn, SPAMS, the paper's published code) call alpha = l1 / 2 what is l1 here.
    double l1 = 1.0;
    semi_nmf_init init = semi_nmf_init::kmeans_plus_plus;
    /// Starts to try. With more than one they compete on a sketch of X (at most a few thousand samples, a few
    /// directions per component), which costs little, and the winner is fitted to X. With 1 the fit starts at once.
    std::int64_t n_init = 8;
    /// Atoms to start from, K x D. Overrides `init` and `n_init`. Rows longer than 1 are scaled back to unit length, and nmf takes negative entries as 0.
    initial_matrix initial = {};
    std::int64_t max_iter = 500;
    /// Converged when the last five iterations lowered the objective by no more than this fraction of it each, on
    /// average; with 0, when no step lowers it any more.
    double tol = 1e-6;
    /// Same seed, same shape: same bits, on any number of threads.
    std::uint64_t seed = 0;
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Processes that each hold some of the samples, at least K of them: X and `codes` are those of this process, and
    /// all else in the result is the same in each. The start is that of process 0, from its own samples.
    process_group group = {};
    /// Sees every iteration, on the calling thread; returning false stops the fit, which still returns a full result.
    std::function<bool(const iteration&)> callback = {};
    /// Called on the calling thread about ten times a second, also in the middle of a long pass. What it throws leaves
    /// `semi_nmf` and abandons the fit: for Ctrl-C and deadlines.
    std::function<void()> checkpoint = {};
};

template <class T>
struct semi_nmf_result {
    matrix<T> codes;                            ///< M x K, >= 0: the optimum for `dictionary`
    matrix<T> dictionary;                       ///< K x D, rows of length at most 1
    double objective = 0;                       ///< ||X - codes dictionary||_F^2 + l1 * sum(codes) of the two above
    double squared_error = 0;                   ///< ||X - codes dictionary||_F^2, its first part
    std::vector<double> history;                ///< the objective at the start and after every iteration
    /// Iterations that lowered the objective; history has one entry more. A last step that is refused is none.
    std::int64_t n_iter = 0;
    stop_reason stop = stop_reason::max_iter;
    double kkt_residual = 0;                    ///< of `codes`, as in sparse_encode_result
};

namespace detail {

/// semi_nmf, and nmf with entries of the dictionary >= 0.
template <class T>
semi_nmf_result<T> factorize(const row_blocks<T>& samples, const semi_nmf_options& options, linalg::sign entries) {
    const std::int64_t k = options.n_components;
    require_count(samples, k, "n_components");
    if (!(options.l1 >= 0) || !is_finite(options.l1)) throw_invalid("l1 is ", options.l1, ": it must be finite and >= 0");
    if (!(options.tol >= 0) || !is_finite(options.tol)) throw_invalid("tol is ", options.tol, ": it must be finite and >= 0");
    if (options.n_init < 1) throw_invalid("n_init is ", options.n_init, ": at least 1 is needed");
    if (options.max_iter < 1) throw_invalid("max_iter is ", options.max_iter, ": at least 1 is needed");
    const process_group& group = options.group;
    if (group.size < 1 || group.rank < 0 || group.rank >= group.size) {
        throw_invalid("the process group has rank ", group.rank, " and size ", group.size, ": ranks run from 0 to size - 1");
    }
    if (!group.alone() && !group.sum) throw_invalid("the process group has size ", group.size, " but no function to sum over it");

    semi_nmf_settings<T> settings{.n_atoms = k,
                                  .l1 = options.l1,
                                  .start = start_kind::spread,
                                  .n_starts = options.n_init,
                                  .given = {},
                                  .seed = options.seed,
                                  .max_iter = options.max_iter,
                                  .tol = options.tol,
                                  .entries = entries,
                                  .group = options.group,
                                  .on_iteration = {}};
    if (options.init == semi_nmf_init::samples) settings.start = start_kind::samples;
    if (options.init == semi_nmf_init::svd) settings.start = start_kind::singular;
    if (options.init == semi_nmf_init::random) settings.start = start_kind::random;
    if (auto start = read_initial<T>(options.initial, k, samples.cols(), "initial atoms", "n_components x n_features")) {
        settings.start = start_kind::given;
        settings.given = std::move(*start);
    }
    if (options.callback) {
        settings.on_iteration = [&](std::int64_t index, double objective) {
            return options.callback(iteration{.index = index, .objective = objective});
        };
    }
    thread_pool pool(options.n_threads, options.checkpoint);
    auto fit = fit_semi_nmf(samples, settings, pool);
    return {.codes = std::move(fit.codes),
            .dictionary = std::move(fit.dictionary),
            .objective = fit.objective,
            .squared_error = fit.squared_error,
            .history = std::move(fit.history),
            .n_iter = fit.n_iter,
            .stop = fit.stop,
            .kkt_residual = fit.kkt_residual};
}

}  // namespace detail

/// Semi-NMF with an l1 penalty: minimises ||X - codes dictionary||_F^2 + l1 * ||codes||_1 over codes >= 0 and
/// dictionary rows in the unit ball.
///
/// X is M x D, one sample a row, of any strides or in several blocks (row_blocks); it is not copied. float, half and
/// bfloat16 are computed in float, double in double. An iteration is one read of X and, with a share s
/// of codes that are not zero, 2 M K D (1 + s) floating-point operations, 2 M K D (1 + 2 s) where the error is small against
/// X and must be taken from the residuals; it is a second read where an extrapolation is refused. The objective never rises. The result is a stationary point, not
/// necessarily the global optimum: the problem is not convex.
///
/// Throws std::invalid_argument for an empty X, NaN or infinity in X (with its row and column), an X whose squares do not
/// fit its precision (above 2e37 or below 8e-25 in float), n_components outside
/// [1, M], a negative or non-finite l1 or tol, n_init or max_iter < 1, initial atoms of another shape than K x D
/// or not finite in the precision of X or too small for the objective to be finite, or an impossible process group.
/// Running out of iterations is reported in `stop`.
///
/// Source: Parekh, Khayatan, Shukor, Newson, Cord, "A Concept-Based Explainability Framework for Large Multimodal
/// Models", NeurIPS 2024, arXiv 2406.08074. Semi-NMF: Ding, Li, Jordan, IEEE TPAMI 32 (2010).
template <SampleMatrix M>
semi_nmf_result<precision_t<M>> semi_nmf(const M& x, const semi_nmf_options& options) {
    return detail::factorize(as_row_blocks(x), options, linalg::sign::any);
}

}  // namespace coxlmm
