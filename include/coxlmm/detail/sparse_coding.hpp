// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/nonnegative_cd.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

template <class T>
struct encoding {
    matrix<T> codes;
    double objective = 0;
    double kkt_residual = 0;
};

template <class T>
encoding<T> encode(const row_blocks<T>& x, const row_blocks<T>& dictionary, double l1, double tol,
                   std::int64_t max_iter, thread_pool& pool) {
    const auto norms = linalg::checked_norms(x, "X", pool);
    linalg::require_range<T>(norms, "X");
    linalg::require_range<T>(linalg::checked_norms(dictionary, "the dictionary", pool), "the dictionary");
    const auto atoms = linalg::pack_matrix(dictionary);
    const auto gram = linalg::gram_of(atoms, pool);
    linalg::code_pass<T> pass(x, dictionary.rows(), norms, pool);
    encoding<T> result;
    result.codes = matrix<T>(x.rows(), dictionary.rows());
    const linalg::pass_settings settings{.l1 = l1,
                                         .tol = tol,
                                         .max_sweeps = max_iter,
                                         .max_changes = max_iter,
                                         .accumulate = false,
                                         .residual = true};
    const auto sums = pass.run(atoms, gram, result.codes, result.codes, settings);
    result.objective = sums.objective(l1);
    if (!is_finite(result.objective)) {
        throw_invalid("the objective of the codes is ", result.objective, ": samples this long and atoms this short need codes that ",
                      sizeof(T) == 4 ? "float" : "double", " cannot hold; scale the dictionary up or X down");
    }
    result.kkt_residual = sums.kkt_residual;
    return result;
}

}  // namespace coxlmm::detail
