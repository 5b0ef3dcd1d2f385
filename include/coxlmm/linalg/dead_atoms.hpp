// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// Atoms that no sample uses take over the residuals of the samples that are explained worst. Their codes are zero, so
/// the objective does not change until the next pass, which can only lower it. Returns whether any atom was replaced.
template <class T>
bool revive_dead_atoms(const row_blocks<T>& x, const matrix<T>& codes, const matrix<double>& code_gram,
                       const std::vector<double>& errors, double l1, matrix<T>& atoms) {
    std::vector<std::int64_t> dead;
    for (std::int64_t k = 0; k < atoms.rows(); ++k) {
        if (!(code_gram(k, k) > 0)) dead.push_back(k);
    }
    if (dead.empty()) return false;
    std::vector<std::int64_t> worst(errors.size());
    std::iota(worst.begin(), worst.end(), std::int64_t{0});
    const auto n = std::min(dead.size(), worst.size());
    const auto error = [&](std::int64_t i) { return errors[static_cast<std::size_t>(i)]; };
    std::partial_sort(worst.begin(), worst.begin() + static_cast<std::ptrdiff_t>(n), worst.end(),
                      [&](std::int64_t a, std::int64_t b) { return error(a) != error(b) ? error(a) > error(b) : a < b; });
    const std::int64_t stride = atoms.cols();
    matrix<T> residual(1, stride);
    matrix<T> negated(atoms.rows(), 1);
    bool any = false;
    for (std::size_t r = 0; r < n; ++r) {
        pack_rows(x, worst[r], 1, residual.data(), 1, stride);
        const double size = std::sqrt(dot(residual.data(), residual.data(), stride));
        for (std::int64_t k = 0; k < atoms.rows(); ++k) negated(k, 0) = -codes(worst[r], k);
        accumulate_outer(negated.data(), 1, atoms.data(), atoms.rows(), 1, stride, residual.data());
        const double norm = std::sqrt(dot(residual.data(), residual.data(), stride));
        // A residual this short would not be used either: the penalty costs more than it gains.
        if (norm <= 0.5 * l1 || norm <= 1e-5 * size) break;
        normalize(residual.data(), stride);
        std::copy_n(residual.data(), stride, atoms.row(dead[r]));
        any = true;
    }
    return any;
}

}  // namespace coxlmm::linalg
