// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Gram matrices of centred samples, in double whatever X is stored in: their small eigenvalues are squares of small
/// singular values, and drown in the rounding of float products.
namespace coxlmm::linalg {

namespace wide {
using rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using block = Eigen::Map<rows, Eigen::Unaligned, Eigen::OuterStride<>>;

inline block part_of(matrix<double>& m, std::int64_t row, std::int64_t col, std::int64_t n_rows, std::int64_t n_cols) {
    return {m.data() + row * m.cols() + col, n_rows, n_cols, Eigen::OuterStride<>(m.cols())};
}
}  // namespace wide

/// Rows [first, first + count) in double, seen from `from`.
template <class T>
void widen_rows(const row_blocks<T>& x, const origin<T>& from, std::int64_t first, std::int64_t count, matrix<T>& scratch,
                matrix<double>& out) {
    const std::int64_t stride = padded_length<T>(x.cols());
    if (scratch.size() == 0) scratch = matrix<T>(1, stride);
    for (std::int64_t i = 0; i < count; ++i) {
        pack_rows(x, first + i, 1, scratch.data(), 1, stride);
        from.subtract_from(scratch.data(), 1, stride);
        for (std::int64_t d = 0; d < x.cols(); ++d) out(i, d) = static_cast<double>(scratch.data()[d]);
    }
}

/// The lower triangle of Xc Xc^T, M x M.
template <class T>
matrix<double> sample_gram(const row_blocks<T>& x, const origin<T>& from, thread_pool& pool) {
    constexpr std::int64_t side = 96;
    const std::int64_t m = x.rows();
    const std::int64_t d = x.cols();
    matrix<double> gram(m, m);
    struct scratch {
        matrix<T> row;
        matrix<double> left;
        matrix<double> right;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    const std::int64_t n_blocks = (m + side - 1) / side;
    pool.run(n_blocks, [&](std::int64_t task, int worker) {
        auto& s = scratches[static_cast<std::size_t>(worker)];
        if (s.left.size() == 0) s = {{}, matrix<double>(std::min(side, m), d), matrix<double>(std::min(side, m), d)};
        const std::int64_t i = (n_blocks - 1 - task) * side;  // the longest first: they end together
        const std::int64_t n_i = std::min(side, m - i);
        widen_rows(x, from, i, n_i, s.row, s.left);
        for (std::int64_t j = 0; j <= i; j += side) {
            const std::int64_t n_j = std::min(side, m - j);
            if (j < i) widen_rows(x, from, j, n_j, s.row, s.right);
            wide::part_of(gram, i, j, n_i, n_j).noalias() =
                wide::part_of(s.left, 0, 0, n_i, d) * wide::part_of(j < i ? s.right : s.left, 0, 0, n_j, d).transpose();
            pool.step();
        }
    });
    return gram;
}

/// The lower triangle of Xc^T Xc, D x D. Samples are widened some hundred at a time, and then the blocks of the result
/// are what threads take.
template <class T>
matrix<double> feature_gram(const row_blocks<T>& x, const origin<T>& from, thread_pool& pool) {
    constexpr std::int64_t side = 128;
    constexpr std::int64_t batch = 256;
    const std::int64_t m = x.rows();
    const std::int64_t d = x.cols();
    matrix<double> gram(d, d);
    matrix<double> samples(std::min(batch, m), d);
    std::vector<matrix<T>> rows(static_cast<std::size_t>(pool.size()));
    std::vector<matrix<double>> singles(static_cast<std::size_t>(pool.size()));
    const std::int64_t n_blocks = (d + side - 1) / side;
    for (std::int64_t first = 0; first < m; first += batch) {
        const std::int64_t count = std::min(batch, m - first);
        pool.run(count, [&](std::int64_t i, int worker) {
            auto& single = singles[static_cast<std::size_t>(worker)];
            if (single.size() == 0) single = matrix<double>(1, d);
            widen_rows(x, from, first + i, 1, rows[static_cast<std::size_t>(worker)], single);
            std::copy_n(single.data(), d, samples.row(i));
        });
        pool.run(n_blocks, [&](std::int64_t task, int) {
            const std::int64_t i = (n_blocks - 1 - task) * side;
            const std::int64_t n_i = std::min(side, d - i);
            for (std::int64_t j = 0; j <= i; j += side) {
                const std::int64_t n_j = std::min(side, d - j);
                wide::part_of(gram, i, j, n_i, n_j).noalias() +=
                    wide::part_of(samples, 0, i, count, n_i).transpose() * wide::part_of(samples, 0, j, count, n_j);
                pool.step();
            }
        });
    }
    return gram;
}

/// weights Xc, n x D, of weights n x M.
template <class T>
matrix<double> centred_sums(const row_blocks<T>& x, const origin<T>& from, matrix<double>& weights, thread_pool& pool) {
    constexpr std::int64_t batch = 64;
    const std::int64_t n = weights.rows();
    const std::int64_t d = x.cols();
    const std::int64_t n_batches = (x.rows() + batch - 1) / batch;
    const std::int64_t n_groups = std::min<std::int64_t>(n_batches, 4);
    std::vector<matrix<double>> groups(static_cast<std::size_t>(n_groups));
    pool.run(n_groups, [&](std::int64_t g, int) {
        auto& sums = groups[static_cast<std::size_t>(g)];
        sums = matrix<double>(n, d);
        matrix<T> row;
        matrix<double> samples(batch, d);
        for (std::int64_t b = n_batches * g / n_groups; b < n_batches * (g + 1) / n_groups; ++b) {
            const std::int64_t first = b * batch;
            const std::int64_t count = std::min(batch, x.rows() - first);
            widen_rows(x, from, first, count, row, samples);
            wide::part_of(sums, 0, 0, n, d).noalias() += wide::part_of(weights, 0, first, n, count) * wide::part_of(samples, 0, 0, count, d);
            pool.step();
        }
    });
    return added_up(std::move(groups));
}

}  // namespace coxlmm::linalg
