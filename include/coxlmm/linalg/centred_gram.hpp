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
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Gram matrices of centred samples Xc, in double whatever X is stored in: their small eigenvalues are squares of small
/// singular values, and drown in the rounding of float products. Of the symmetric ones the upper triangle is computed.
namespace coxlmm::linalg {

/// Rows [first, first + count) in double and padded, seen from `from`.
template <class T>
void widen_rows(const row_blocks<T>& x, const origin<T>& from, std::int64_t first, std::int64_t count, matrix<T>& scratch,
                double* out) {
    const std::int64_t stride = padded_length<double>(x.cols());
    if (scratch.size() == 0) scratch = matrix<T>(1, padded_length<T>(x.cols()));
    for (std::int64_t i = 0; i < count; ++i) {
        pack_rows(x, first + i, 1, scratch.data(), 1, scratch.cols());
        from.subtract_from(scratch.data(), 1, scratch.cols());
        double* row = out + i * stride;
        for (std::int64_t d = 0; d < x.cols(); ++d) row[d] = static_cast<double>(scratch.data()[d]);
        std::fill(row + x.cols(), row + stride, 0.0);
    }
}

/// Xc Xc^T, M x M.
template <class T>
matrix<double> sample_gram(const row_blocks<T>& x, const origin<T>& from, thread_pool& pool) {
    constexpr std::int64_t side = 32;
    const std::int64_t m = x.rows();
    const std::int64_t stride = padded_length<double>(x.cols());
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
        if (s.left.size() == 0) s = {{}, matrix<double>(side, stride), matrix<double>(side, stride)};
        const std::int64_t j = (n_blocks - 1 - task) * side;  // the longest first: they end together
        const std::int64_t n_j = std::min(side, m - j);
        widen_rows(x, from, j, n_j, s.row, s.right.data());
        for (std::int64_t i = 0; i <= j; i += side) {
            const std::int64_t n_i = std::min(side, m - i);
            if (i < j) widen_rows(x, from, i, n_i, s.row, s.left.data());
            const double* left = i < j ? s.left.data() : s.right.data();
            dot_products(s.right.data(), n_j, left, n_i, stride, gram.row(i) + j, m);
            pool.step();
        }
    });
    return gram;
}

/// Xc^T Xc, D x padded D. Samples are widened some hundred at a time, and then blocks of the result are what threads take.
template <class T>
matrix<double> feature_gram(const row_blocks<T>& x, const origin<T>& from, thread_pool& pool) {
    constexpr std::int64_t side = 40;
    constexpr std::int64_t batch = 128;
    const std::int64_t m = x.rows();
    const std::int64_t d = x.cols();
    const std::int64_t stride = padded_length<double>(d);
    matrix<double> gram(d, stride);
    matrix<double> samples(std::min(batch, m), stride);
    std::vector<matrix<T>> rows(static_cast<std::size_t>(pool.size()));
    const std::int64_t n_blocks = (d + side - 1) / side;
    for (std::int64_t first = 0; first < m; first += batch) {
        const std::int64_t count = std::min(batch, m - first);
        pool.run(count, [&](std::int64_t i, int worker) {
            widen_rows(x, from, first + i, 1, rows[static_cast<std::size_t>(worker)], samples.row(i));
        });
        pool.run(n_blocks, [&](std::int64_t block, int) {
            const std::int64_t i = block * side;  // a whole number of cache lines, and the longest block first
            const tile_rows<double> right{samples.data() + i, stride};
            accumulate_outer(samples.data() + i, stride, right, count, std::min(side, d - i), stride - i, gram.row(i) + i,
                             stride);
        });
    }
    return gram;
}

/// weights Xc, n x padded D, of weights n x M.
template <class T>
matrix<double> centred_sums(const row_blocks<T>& x, const origin<T>& from, const matrix<double>& weights,
                            thread_pool& pool) {
    constexpr std::int64_t batch = 32;
    const std::int64_t n = weights.rows();
    const std::int64_t stride = padded_length<double>(x.cols());
    const std::int64_t n_batches = (x.rows() + batch - 1) / batch;
    const std::int64_t n_groups = std::min<std::int64_t>(n_batches, 4);
    std::vector<matrix<double>> groups(static_cast<std::size_t>(n_groups));
    pool.run(n_groups, [&](std::int64_t g, int) {
        auto& sums = groups[static_cast<std::size_t>(g)];
        sums = matrix<double>(n, stride);
        matrix<T> row;
        matrix<double> samples(batch, stride);
        matrix<double> by_sample(batch, n);
        for (std::int64_t b = n_batches * g / n_groups; b < n_batches * (g + 1) / n_groups; ++b) {
            const std::int64_t first = b * batch;
            const std::int64_t count = std::min(batch, x.rows() - first);
            widen_rows(x, from, first, count, row, samples.data());
            for (std::int64_t i = 0; i < count; ++i) {
                for (std::int64_t k = 0; k < n; ++k) by_sample(i, k) = weights(k, first + i);
            }
            accumulate_outer(by_sample.data(), n, samples.data(), count, n, stride, sums.data());
            pool.step();
        }
    });
    return added_up(std::move(groups));
}

}  // namespace coxlmm::linalg
