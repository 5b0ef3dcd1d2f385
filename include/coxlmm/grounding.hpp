// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/grounding.hpp"

namespace coxlmm {

struct ground_text_options {
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `ground_text`.
    std::function<void()> checkpoint = {};
};

template <class T>
struct text_grounding {
    matrix<std::int64_t> tokens;  ///< K x top: rows of the unembedding matrix, best first
    matrix<T> scores;             ///< K x top: their logits
};

/// The tokens that every concept decodes to: for each dictionary row u, the `top` rows w of the unembedding matrix with
/// the largest w . u; ties go to the lower token.
///
/// dictionary: K x D; unembedding: V x D, of any strides (tied weights are viewed in place). The vocabulary is read once
/// in blocks; the K x V logits are never held. The final norm of the model is the caller's business: rows of
/// `dictionary` are used as they are.
///
/// Throws std::invalid_argument for empty matrices, different numbers of features, top outside [1, V], or NaN or
/// infinity (with row and column).
template <SampleMatrix U, SampleMatrix W>
    requires HaveSamePrecision<U, W>
text_grounding<precision_t<U>> ground_text(const U& dictionary, const W& unembedding, std::int64_t top,
                                         const ground_text_options& options = {}) {
    using T = precision_t<U>;
    const row_blocks<T> atoms = as_row_blocks(dictionary);
    const row_blocks<T> table = as_row_blocks(unembedding);
    require_nonempty(atoms, "the dictionary");
    require_nonempty(table, "the unembedding matrix");
    if (atoms.cols() != table.cols()) {
        throw_invalid("the dictionary has ", atoms.cols(), " features but the unembedding matrix has ", table.cols(), " (shapes ",
                      atoms.rows(), " x ", atoms.cols(), " and ", table.rows(), " x ", table.cols(), ")");
    }
    if (top < 1 || top > table.rows()) {
        throw_invalid("top is ", top, ": it must lie between 1 and the size of the vocabulary, ", table.rows());
    }
    require_finite(atoms, "the dictionary", 0, atoms.rows());
    thread_pool pool(options.n_threads, options.checkpoint);
    auto ranked = detail::rank_by_inner_product(atoms, table, "the unembedding matrix", top, pool);
    return {.tokens = std::move(ranked.indices), .scores = std::move(ranked.values)};
}

template <class T>
struct activation_ranking {
    matrix<std::int64_t> indices;  ///< best first
    matrix<T> values;              ///< the activations there
};

/// For every concept the `n` samples that activate it most: K x n. `codes` is M x K; ties go to the lower sample.
///
/// Throws std::invalid_argument for empty codes, n outside [1, M], or NaN or infinity (with row and column).
template <MatrixView M>
activation_ranking<compute_t<M>> max_activating(const M& codes, std::int64_t n) {
    const matrix_ref<const element_t<M>> v = view(codes);
    require_nonempty(v, "codes");
    if (n < 1 || n > v.rows) throw_invalid("n is ", n, ": it must lie between 1 and the number of samples, ", v.rows);
    require_finite(v, "codes");
    auto ranked = detail::rank_rows<compute_t<M>>(v.transposed(), n);
    return {.indices = std::move(ranked.indices), .values = std::move(ranked.values)};
}

/// For every sample the `r` concepts that it activates most: M x r. `codes` is M x K; ties go to the lower concept.
///
/// Throws std::invalid_argument for empty codes, r outside [1, K], or NaN or infinity (with row and column).
template <MatrixView M>
activation_ranking<compute_t<M>> most_activating_concepts(const M& codes, std::int64_t r) {
    const matrix_ref<const element_t<M>> v = view(codes);
    require_nonempty(v, "codes");
    if (r < 1 || r > v.cols) throw_invalid("r is ", r, ": it must lie between 1 and the number of concepts, ", v.cols);
    require_finite(v, "codes");
    auto ranked = detail::rank_rows<compute_t<M>>(v, r);
    return {.indices = std::move(ranked.indices), .values = std::move(ranked.values)};
}

}  // namespace coxlmm
