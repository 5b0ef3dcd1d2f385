// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/atom_update.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/dead_atoms.hpp"
#include "coxlmm/linalg/nonnegative_cd.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

/// The sums over all batches so far, and one step of online dictionary learning.
template <class T>
class online_learner {
public:
    /// Adds batch t = 1, 2, ... to the sums and moves `dictionary` to the best one for them. Where it throws, nothing has
    /// changed.
    void learn(const row_blocks<T>& x, matrix<T>& dictionary, double l1, std::int64_t t, thread_pool& pool) {
        const auto norms = linalg::checked_norms(x, "X", pool);
        linalg::require_range<T>(norms, "X");
        auto atoms = linalg::pack_matrix(row_blocks<T>(dictionary));
        const auto gram = linalg::gram_of(atoms, pool);
        linalg::code_pass<T> pass(x, atoms.rows(), norms, pool);
        matrix<T> codes(x.rows(), atoms.rows());
        auto sums = pass.run(atoms, gram, codes, codes,
                             {.l1 = l1, .tol = 1e-5, .max_sweeps = 100, .max_changes = 0, .accumulate = true, .residual = false});
        if (t > 1) {
            const double kept = (1 - 1.0 / static_cast<double>(t)) * (1 - 1.0 / static_cast<double>(t));
            for (std::int64_t i = 0; i < sums.cross.size(); ++i) sums.cross.data()[i] += static_cast<T>(kept) * cross_.data()[i];
            for (std::int64_t i = 0; i < sums.code_gram.size(); ++i) sums.code_gram.data()[i] += kept * code_gram_.data()[i];
        }
        linalg::revive_dead_atoms(x, codes, sums.code_gram, pass.errors(), l1, linalg::sign::any, process_group{}, atoms);
        linalg::update_atoms(sums.cross, sums.code_gram, atoms, linalg::sign::any, 5, 1e-4, pool);
        dictionary = linalg::unpacked(atoms, x.cols());
        cross_ = std::move(sums.cross);
        code_gram_ = std::move(sums.code_gram);
        objective_ = sums.objective(l1);
    }

    double objective() const noexcept { return objective_; }

private:
    matrix<T> cross_;          // codes^T X, K x padded D
    matrix<double> code_gram_; // codes^T codes, K x K
    double objective_ = 0;
};

}  // namespace coxlmm::detail
