// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/nmf.hpp"
#include "coxlmm/semi_nmf.hpp"

namespace coxlmm {

/// Nonnegative matrix factorization with an l1 penalty: semi_nmf whose dictionary is nonnegative too. It minimises
/// ||X - codes dictionary||_F^2 + l1 * ||codes||_1 over codes >= 0 and dictionary rows >= 0 in the unit ball.
///
/// X is M x D and nonnegative. Options, result, costs and errors are those of semi_nmf; starts compete on some samples, but
/// on all of their features. Also throws std::invalid_argument for a negative entry of X, with its row and column.
///
/// The atoms are updated by hierarchical alternating least squares: Cichocki, Zdunek, Amari, ICA 2007; Gillis and Glineur,
/// Neural Computation 24, 2012.
template <SampleMatrix M>
semi_nmf_result<precision_t<M>> nmf(const M& x, const semi_nmf_options& options) {
    const auto samples = as_row_blocks(x);
    {
        thread_pool pool(options.n_threads, options.checkpoint);
        detail::require_nonnegative(samples, "X", pool);
    }
    return detail::factorize(samples, options, linalg::sign::nonnegative);
}

}  // namespace coxlmm
