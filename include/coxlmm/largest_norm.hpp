// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/largest_norm.hpp"

namespace coxlmm {

struct largest_norm_options {
    /// K: 1 <= K <= number of samples.
    std::int64_t n_components = 0;
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `largest_norm`.
    std::function<void()> checkpoint = {};
};

template <class T>
struct largest_norm_result {
    matrix<T> dictionary;               ///< K x D: these samples scaled to unit length
    std::vector<std::int64_t> indices;  ///< rows of X, the longest first; the lowest of equally long ones
};

/// The samples of largest Euclidean norm as concepts: the paper's baseline "Simple". The activations of samples by them
/// are those of any dictionary: `sparse_encode(x, dictionary)`.
///
/// X is M x D, one sample a row, of any strides or in several blocks (row_blocks). Costs one read of X.
///
/// Throws std::invalid_argument for an empty X, NaN or infinity (with row and column), an X whose squares do not fit its
/// precision, n_components outside [1, M], or fewer than n_components samples that are not zero.
///
/// Source: Parekh, Khayatan, Shukor, Newson, Cord, "A Concept-Based Explainability Framework for Large Multimodal
/// Models", NeurIPS 2024, arXiv 2406.08074.
template <SampleMatrix M>
largest_norm_result<precision_t<M>> largest_norm(const M& x, const largest_norm_options& options) {
    using T = precision_t<M>;
    const row_blocks<T> samples = as_row_blocks(x);
    const std::int64_t k = options.n_components;
    require_count(samples, k, "n_components");
    thread_pool pool(options.n_threads, options.checkpoint);
    auto found = detail::find_longest(samples, k, pool);
    return {.dictionary = std::move(found.rows), .indices = std::move(found.indices)};
}

}  // namespace coxlmm
