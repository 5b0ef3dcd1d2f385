// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// Whether entries of atoms may be negative.
enum class sign { any, nonnegative };

template <class T>
void clip_negative(T* row, std::int64_t n) {
    for (std::int64_t d = 0; d < n; ++d) row[d] = std::max(row[d], T{});
}

/// Block coordinate descent over atoms for
///
///     minimise over |u_k| <= 1   trace(U^T S U) - 2 trace(U^T A),    S = codes^T codes,  A = codes^T X.
///
/// and, for `sign::nonnegative`, U >= 0. One atom at a time is solved exactly: the unconstrained optimum, negative entries
/// set to 0 where they are not allowed, scaled back onto the ball. (The level sets in one atom are spheres, so the
/// projection is the constrained optimum.) Stops after `max_sweeps` sweeps or when no atom
/// moved by more than `tol`. Atoms that no sample uses (S_kk = 0) stay. `pool` is only asked whether to go on.
template <class T>
void update_atoms(const matrix<T>& cross, const matrix<double>& code_gram, matrix<T>& atoms, sign entries,
                  std::int64_t max_sweeps, double tol, thread_pool& pool) {
    const std::int64_t n = atoms.rows();
    const std::int64_t stride = atoms.cols();
    matrix<T> candidate(1, stride);
    matrix<T> weights(n, 1);
    for (std::int64_t sweep = 0; sweep < max_sweeps; ++sweep) {
        double moved = 0;
        for (std::int64_t k = 0; k < n; ++k) {
            const double own = code_gram(k, k);
            // Where 1 / own does not fit T the atom is as good as unused.
            if (!(own > 16 / static_cast<double>(std::numeric_limits<T>::max()))) continue;
            pool.step();
            T* next = candidate.data();
            const T* target = cross.row(k);
            const T scale = static_cast<T>(1 / own);
            for (std::int64_t d = 0; d < stride; ++d) next[d] = target[d] * scale;
            for (std::int64_t j = 0; j < n; ++j) weights(j, 0) = j == k ? T{} : static_cast<T>(-code_gram(k, j) / own);
            accumulate_outer(weights.data(), 1, atoms.data(), n, 1, stride, next);
            if (entries == sign::nonnegative) clip_negative(next, stride);
            const double norm = std::sqrt(dot(next, next, stride));
            if (norm > 1) {
                const T shrink = static_cast<T>(1 / norm);
                for (std::int64_t d = 0; d < stride; ++d) next[d] *= shrink;
            }
            T* atom = atoms.row(k);
            double change = 0;
            for (std::int64_t d = 0; d < stride; ++d) {
                const auto difference = static_cast<double>(next[d] - atom[d]);
                change += difference * difference;
                atom[d] = next[d];
            }
            moved = std::max(moved, change);
        }
        if (moved <= tol * tol) break;
    }
}

/// now + beta (now - before), every atom brought back to where atoms may be.
template <class T>
matrix<T> extrapolated(const matrix<T>& now, const matrix<T>& before, double beta, sign entries) {
    matrix<T> atoms(now.rows(), now.cols());
    const T b = static_cast<T>(beta);
    for (std::int64_t k = 0; k < now.rows(); ++k) {
        T* out = atoms.row(k);
        for (std::int64_t d = 0; d < now.cols(); ++d) out[d] = now(k, d) + b * (now(k, d) - before(k, d));
        if (entries == sign::nonnegative) clip_negative(out, now.cols());
        if (dot(out, out, now.cols()) > 1) normalize(out, now.cols());
    }
    return atoms;
}

}  // namespace coxlmm::linalg
