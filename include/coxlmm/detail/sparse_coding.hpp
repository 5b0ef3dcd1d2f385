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

/// A dictionary as the solver needs it.
template <class T>
struct packed_dictionary {
    matrix<T> atoms;
    linalg::gram_matrix gram;
    std::int64_t n_features = 0;

    packed_dictionary(const row_blocks<T>& dictionary, thread_pool& pool) : n_features(dictionary.cols()) {
        linalg::require_range<T>(linalg::checked_norms(dictionary, "the dictionary", pool), "the dictionary");
        atoms = linalg::pack_matrix(dictionary);
        gram = linalg::gram_of(atoms, pool);
    }
};

template <class T>
encoding<T> encode(const row_blocks<T>& x, const packed_dictionary<T>& dictionary, double l1, double tol, std::int64_t max_iter,
                   thread_pool& pool) {
    const auto norms = linalg::checked_norms(x, "X", pool);
    linalg::require_range<T>(norms, "X");
    const std::int64_t k = dictionary.atoms.rows();
    linalg::code_pass<T> pass(x, k, norms, pool);
    encoding<T> result;
    result.codes = matrix<T>(x.rows(), k);
    const linalg::pass_settings settings{.l1 = l1,
                                         .tol = tol,
                                         .max_sweeps = max_iter,
                                         .max_changes = max_iter,
                                         .accumulate = false,
                                         .residual = true};
    const auto sums = pass.run(dictionary.atoms, dictionary.gram, result.codes, result.codes, settings);
    result.objective = sums.objective(l1);
    if (!is_finite(result.objective)) {
        throw_invalid("the objective of the codes is ", result.objective, ": samples this long and atoms this short need codes that ",
                      sizeof(T) == 4 ? "float" : "double", " cannot hold; scale the dictionary up or X down");
    }
    result.kkt_residual = sums.kkt_residual;
    return result;
}

}  // namespace coxlmm::detail
