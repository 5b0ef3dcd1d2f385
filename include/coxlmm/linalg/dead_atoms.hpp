// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/atom_update.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// Atoms that no sample uses take over the residuals of the samples, of all processes, that are explained worst. Their codes
/// are zero, so the objective does not change until the next pass, which can only lower it. Returns whether any atom was
/// replaced.
template <class T>
bool revive_dead_atoms(const row_blocks<T>& x, const matrix<T>& codes, const matrix<double>& code_gram,
                       const std::vector<double>& errors, double l1, sign entries, const process_group& group, matrix<T>& atoms) {
    std::vector<std::int64_t> dead;
    for (std::int64_t k = 0; k < atoms.rows(); ++k) {
        if (!(code_gram(k, k) > 0)) dead.push_back(k);
    }
    if (dead.empty()) return false;
    const std::size_t n = dead.size();
    std::vector<std::int64_t> own(errors.size());
    std::iota(own.begin(), own.end(), std::int64_t{0});
    const auto n_own = std::min(n, own.size());
    const auto error = [&](std::int64_t i) { return errors[static_cast<std::size_t>(i)]; };
    std::partial_sort(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(n_own), own.end(),
                      [&](std::int64_t a, std::int64_t b) { return error(a) != error(b) ? error(a) > error(b) : a < b; });

    // Slot r n + i: the i-th worst sample of process r.
    std::vector<double> worst(n * static_cast<std::size_t>(group.size), 0.0);
    const std::size_t first_slot = n * static_cast<std::size_t>(group.rank);
    for (std::size_t i = 0; i < n_own; ++i) worst[first_slot + i] = error(own[i]);
    if (!group.alone()) group.sum(worst.data(), static_cast<std::int64_t>(worst.size()));
    std::vector<std::size_t> slots(worst.size());
    std::iota(slots.begin(), slots.end(), std::size_t{0});
    std::stable_sort(slots.begin(), slots.end(), [&](std::size_t a, std::size_t b) { return worst[a] > worst[b]; });

    constexpr double negligible = sizeof(T) == 4 ? 1e-5 : 1e-11;
    const std::int64_t stride = atoms.cols();
    matrix<T> residual(static_cast<std::int64_t>(n), stride);
    matrix<T> negated(atoms.rows(), 1);
    for (std::size_t r = 0; r < n; ++r) {
        if (slots[r] < first_slot || slots[r] >= first_slot + n_own) continue;
        const std::int64_t i = own[slots[r] - first_slot];
        T* row = residual.row(static_cast<std::int64_t>(r));
        pack_rows(x, i, 1, row, 1, stride);
        const double size = std::sqrt(dot(row, row, stride));
        for (std::int64_t k = 0; k < atoms.rows(); ++k) negated(k, 0) = -codes(i, k);
        accumulate_outer(negated.data(), 1, atoms.data(), atoms.rows(), 1, stride, row);
        if (entries == sign::nonnegative) clip_negative(row, stride);
        const double norm = std::sqrt(dot(row, row, stride));
        // A residual this short would not be used either: the penalty costs more than it gains.
        if (norm <= 0.5 * l1 || norm <= negligible * size) {
            std::fill_n(row, stride, T{});
        } else {
            normalize(row, stride);
        }
    }
    sum_over(group, residual);
    bool any = false;
    for (std::size_t r = 0; r < n; ++r) {
        const T* row = residual.row(static_cast<std::int64_t>(r));
        if (!(dot(row, row, stride) > 0)) continue;
        std::copy_n(row, stride, atoms.row(dead[r]));
        any = true;
    }
    return any;
}

}  // namespace coxlmm::linalg
