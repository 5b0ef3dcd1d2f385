// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/metrics.hpp"

namespace coxlmm {

/// How much the words of concepts have in common: the mean over concepts k of the mean over the others l of
/// |T_k and T_l in common| / |T_k|, where T_k are the tokens of concept k. 0: none has any in common, 1: all have the
/// same; lower is better disentangled. A token that a concept has twice counts once.
///
/// Throws std::invalid_argument for fewer than 2 concepts or one without tokens.
///
/// Source: Parekh, Khayatan, Shukor, Newson, Cord, "A Concept-Based Explainability Framework for Large Multimodal
/// Models", NeurIPS 2024, arXiv 2406.08074.
inline double overlap(std::vector<std::vector<std::int64_t>> tokens) {
    return detail::mean_overlap(std::move(tokens));
}

/// The same for tokens K x top, as `ground_text` finds them.
inline double overlap(const matrix_ref<const std::int64_t>& tokens) {
    std::vector<std::vector<std::int64_t>> lists(static_cast<std::size_t>(tokens.rows));
    for (std::int64_t k = 0; k < tokens.rows; ++k) {
        for (std::int64_t r = 0; r < tokens.cols; ++r) lists[static_cast<std::size_t>(k)].push_back(tokens(k, r));
    }
    return detail::mean_overlap(std::move(lists));
}

inline double overlap(const matrix<std::int64_t>& tokens) {
    return overlap(tokens.ref());
}

struct relative_error_options {
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `relative_error`.
    std::function<void()> checkpoint = {};
};

/// ||X - codes dictionary||_F^2 / ||X||_F^2: 0 for an exact factorization, 1 for codes of zero.
///
/// X is M x D, the codes M x K, the dictionary K x D, of any strides or in several blocks, computed in the same
/// precision and summed in double. The M x D product is not held. Costs 2 M K D floating-point operations.
///
/// Throws std::invalid_argument for empty matrices, shapes that do not fit, NaN or infinity (with row and column), an X
/// whose squares do not fit its precision, or an X that is zero.
template <SampleMatrix M, SampleMatrix V, SampleMatrix U>
    requires HaveSamePrecision<M, V> && HaveSamePrecision<M, U>
double relative_error(const M& x, const V& codes, const U& dictionary, const relative_error_options& options = {}) {
    using T = precision_t<M>;
    const row_blocks<T> samples = as_row_blocks(x);
    const row_blocks<T> weights = as_row_blocks(codes);
    const row_blocks<T> atoms = as_row_blocks(dictionary);
    require_nonempty(samples, "X");
    require_nonempty(weights, "the matrix of codes");
    require_nonempty(atoms, "the dictionary");
    if (weights.rows() != samples.rows() || weights.cols() != atoms.rows() || atoms.cols() != samples.cols()) {
        throw_invalid("X is ", samples.rows(), " x ", samples.cols(), " but the codes are ", weights.rows(), " x ",
                      weights.cols(), " and the dictionary is ", atoms.rows(), " x ", atoms.cols(),
                      ": M x D, M x K and K x D are needed");
    }
    require_finite(weights, "the matrix of codes", 0, weights.rows());
    require_finite(atoms, "the dictionary", 0, atoms.rows());
    thread_pool pool(options.n_threads, options.checkpoint);
    const auto sums = detail::squared_errors(samples, weights, atoms, pool);
    if (!(sums.whole > 0)) throw_invalid("X is zero: an error relative to it is not defined");
    return sums.left / sums.whole;
}

}  // namespace coxlmm
