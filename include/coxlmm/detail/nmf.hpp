// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

/// Refuses negative entries, naming the first.
template <class T>
void require_nonnegative(const row_blocks<T>& x, const char* name, thread_pool& pool) {
    const std::int64_t tile = linalg::tile_samples<T>(x.cols());
    std::vector<matrix<T>> scratch(static_cast<std::size_t>(pool.size()));
    std::vector<char> bad(static_cast<std::size_t>(x.rows()));
    pool.run((x.rows() + tile - 1) / tile, [&](std::int64_t t, int worker) {
        const std::int64_t first = t * tile;
        const std::int64_t count = std::min(tile, x.rows() - first);
        const auto rows = linalg::rows_of(x, first, count, scratch[static_cast<std::size_t>(worker)]);
        for (std::int64_t i = 0; i < count; ++i) {
            T least{};
            for (std::int64_t d = 0; d < x.cols(); ++d) least = std::min(least, rows.row(i)[d]);
            bad[static_cast<std::size_t>(first + i)] = least < T{};
        }
    });
    const auto row = std::find(bad.begin(), bad.end(), 1) - bad.begin();
    if (row == x.rows()) return;
    for (std::int64_t d = 0; d < x.cols(); ++d) {
        if (x(row, d) < T{}) {
            throw_invalid(name, " has the value ", x(row, d), " at row ", row, ", column ", d,
                          ": NMF needs values of at least 0; use semi_nmf for data of either sign");
        }
    }
}

}  // namespace coxlmm::detail
