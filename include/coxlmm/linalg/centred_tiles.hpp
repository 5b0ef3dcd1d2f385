// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Samples seen from their mean, a tile at a time: X is never copied, let alone centred.
namespace coxlmm::linalg {

/// A point that samples are seen from; zero if empty. In two parts of T: one alone would be off by a rounding of the
/// point itself, in float as much as a spread 1e7 times smaller.
template <class T>
struct origin {
    matrix<T> high;  // 1 x padded D
    matrix<T> low;

    static origin at(const std::vector<double>& point) {
        const auto n = static_cast<std::int64_t>(point.size());
        origin o{matrix<T>(1, padded_length<T>(n)), matrix<T>(1, padded_length<T>(n))};
        for (std::int64_t d = 0; d < n; ++d) {
            const double value = point[static_cast<std::size_t>(d)];
            o.high(0, d) = static_cast<T>(value);
            o.low(0, d) = static_cast<T>(value - static_cast<double>(o.high(0, d)));
        }
        return o;
    }

    /// Padded rows, `stride` apart, of which the first `n_rows` are seen from here.
    void subtract_from(T* rows, std::int64_t n_rows, std::int64_t stride) const {
        for (std::int64_t i = 0; i < n_rows; ++i) {
            T* row = rows + i * stride;
            for (std::int64_t d = 0; d < high.cols(); ++d) row[d] = (row[d] - high.data()[d]) - low.data()[d];
        }
    }
};

/// One read of X: f(tile, first, count, group, worker) for every tile of `part`, the tile packed (part.tile rows, those
/// from `count` on zero), seen from `from` and free to be written to. Tiles of a group come in order and on one thread.
template <class T, class F>
void for_each_centred_tile(const row_blocks<T>& x, const origin<T>& from, const partition& part, thread_pool& pool,
                           const F& f) {
    const std::int64_t stride = padded_length<T>(x.cols());
    std::vector<matrix<T>> scratch(static_cast<std::size_t>(pool.size()));
    pool.run(part.n_groups, [&](std::int64_t g, int worker) {
        auto& tile = scratch[static_cast<std::size_t>(worker)];
        if (tile.size() == 0) tile = matrix<T>(part.tile, stride);
        for (std::int64_t t = part.first_tile(g); t < part.first_tile(g + 1); ++t) {
            const std::int64_t first = t * part.tile;
            const std::int64_t count = std::min(part.tile, x.rows() - first);
            pack_rows(x, first, count, tile.data(), part.tile, stride);
            from.subtract_from(tile.data(), count, stride);
            f(tile, first, count, g, worker);
            pool.step();
        }
    });
}

/// Means of the columns, summed in double.
template <class T>
std::vector<double> column_means(const row_blocks<T>& x, thread_pool& pool) {
    constexpr std::int64_t piece = 512;  // sums that stay in the first-level cache while a tile passes by
    const std::int64_t stride = padded_length<T>(x.cols());
    const auto part = partition::of<T>(x.rows(), x.cols(), 2);
    std::vector<matrix<double>> groups(static_cast<std::size_t>(part.n_groups));
    std::vector<matrix<T>> scratch(static_cast<std::size_t>(pool.size()));
    pool.run(part.n_groups, [&](std::int64_t g, int worker) {
        auto& sums = groups[static_cast<std::size_t>(g)];
        sums = matrix<double>(1, stride);
        for (std::int64_t t = part.first_tile(g); t < part.first_tile(g + 1); ++t) {
            const std::int64_t first = t * part.tile;
            const std::int64_t count = std::min(part.tile, x.rows() - first);
            const auto rows = rows_of(x, first, count, scratch[static_cast<std::size_t>(worker)]);
            for (std::int64_t begin = 0; begin < x.cols(); begin += piece) {
                const std::int64_t end = std::min(begin + piece, x.cols());
                for (std::int64_t i = 0; i < count; ++i) {
                    const T* row = rows.row(i);
                    for (std::int64_t d = begin; d < end; ++d) sums.data()[d] += static_cast<double>(row[d]);
                }
            }
            pool.step();
        }
    });
    const auto total = added_up(std::move(groups));
    std::vector<double> means(static_cast<std::size_t>(x.cols()));
    for (std::int64_t d = 0; d < x.cols(); ++d)
        means[static_cast<std::size_t>(d)] = total(0, d) / static_cast<double>(x.rows());
    return means;
}

}  // namespace coxlmm::linalg
