// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Randomised range finder (Halko, Martinsson, Tropp, SIAM Review 53, 2011): a few directions that hold nearly all of X.
namespace coxlmm::linalg {

/// Rows that are orthonormal and span the same space, by block Gram-Schmidt done twice; rows that add nothing are
/// dropped. `pool` is only asked whether to go on.
template <class T>
matrix<T> orthonormal_rows(matrix<T> rows, thread_pool& pool) {
    constexpr double negligible = sizeof(T) == 4 ? 1e-5 : 1e-11;
    constexpr std::int64_t block = 16;
    const std::int64_t stride = rows.cols();
    std::int64_t kept = 0;
    matrix<double> products;
    matrix<T> negated;
    // row -= its part in the span of the `n` rows from `others` on
    const auto remove_span = [&](T* row, std::int64_t count, const T* others, std::int64_t n) {
        if (n == 0) return;
        if (products.rows() < n) {
            products = matrix<double>(rows.rows(), block);
            negated = matrix<T>(rows.rows(), block);
        }
        dot_products(row, count, others, n, stride, products.data(), block);
        for (std::int64_t i = 0; i < n * block; ++i) negated.data()[i] = static_cast<T>(-products.data()[i]);
        accumulate_outer(negated.data(), block, others, n, count, stride, row);
    };
    for (std::int64_t begin = 0; begin < rows.rows(); begin += block) {
        const std::int64_t count = std::min(block, rows.rows() - begin);
        const std::int64_t before = kept;
        for (std::int64_t r = begin; r < begin + count; ++r) normalize(rows.row(r), stride);
        remove_span(rows.row(begin), count, rows.data(), before);
        for (std::int64_t r = begin; r < begin + count; ++r) {
            pool.step();
            T* row = rows.row(kept);
            if (kept != r) std::copy_n(rows.row(r), stride, row);
            remove_span(row, 1, rows.row(before), kept - before);
            if (!(std::sqrt(dot(row, row, stride)) > negligible)) continue;
            normalize(row, stride);
            remove_span(row, 1, rows.data(), kept);
            normalize(row, stride);
            ++kept;
        }
    }
    matrix<T> basis(kept, stride);
    std::copy_n(rows.data(), kept * stride, basis.data());
    return basis;
}

/// weights^T X (n x padded D), where `tile_of(first, count, worker)` gives the weights (n a row) and the rows of a tile.
template <class T, class TileOf>
matrix<T> weighted_sums(const row_blocks<T>& x, std::int64_t n, thread_pool& pool, const TileOf& tile_of) {
    const auto part = partition::of<T>(x.rows(), x.cols(), n);
    const std::int64_t stride = padded_length<T>(x.cols());
    std::vector<matrix<T>> sums(static_cast<std::size_t>(part.n_groups));
    pool.run(part.n_groups, [&](std::int64_t g, int worker) {
        auto& sum = sums[static_cast<std::size_t>(g)];
        sum = matrix<T>(n, stride);
        for (std::int64_t t = part.first_tile(g); t < part.first_tile(g + 1); ++t) {
            const std::int64_t first = t * part.tile;
            const std::int64_t count = std::min(part.tile, x.rows() - first);
            const auto [weights, rows] = tile_of(first, count, worker);
            accumulate_outer(weights, n, rows, count, n, whole_lines<T>(x.cols()), sum.data(), stride);
            pool.step();
        }
    });
    return added_up(std::move(sums));
}

/// X basis^T (M x r) and, if asked for, its product with X: basis X^T X (r x padded D).
template <class T>
struct projection {
    matrix<T> coordinates;
    matrix<T> image;
};

template <class T>
projection<T> project(const row_blocks<T>& x, const matrix<T>& basis, bool with_image, thread_pool& pool) {
    const std::int64_t r = basis.rows();
    const std::int64_t n_cols = whole_lines<T>(x.cols());
    projection<T> result;
    result.coordinates = matrix<T>(x.rows(), r);
    struct scratch {
        matrix<T> rows;
        matrix<double> products;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    const auto coordinates_of = [&](std::int64_t first, std::int64_t count, int worker) {
        auto& s = scratches[static_cast<std::size_t>(worker)];
        if (s.products.size() == 0) s.products = matrix<double>(r, tile_samples<T>(x.cols()));
        const auto rows = rows_of(x, first, count, s.rows);
        dot_products(rows, count, basis.data(), r, basis.cols(), n_cols, s.products.data(), s.products.cols());
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t k = 0; k < r; ++k) result.coordinates(first + i, k) = static_cast<T>(s.products(k, i));
        }
        return rows;
    };
    if (with_image) {
        result.image = weighted_sums(x, r, pool, [&](std::int64_t first, std::int64_t count, int worker) {
            const auto rows = coordinates_of(first, count, worker);
            return std::pair(result.coordinates.row(first), rows);
        });
    } else {
        const std::int64_t tile = tile_samples<T>(x.cols());
        pool.run((x.rows() + tile - 1) / tile, [&](std::int64_t t, int worker) {
            coordinates_of(t * tile, std::min(tile, x.rows() - t * tile), worker);
            pool.step();
        });
    }
    return result;
}

/// X seen in few dimensions: coordinates = X basis^T, basis orthonormal in padded rows.
template <class T>
struct sketch {
    matrix<T> coordinates;
    matrix<T> basis;
};

/// The subspace of at most `rank` dimensions that holds most of X, after one subspace iteration: three reads of X. It starts
/// from random sums of the samples, each with either sign.
template <class T>
sketch<T> sketch_of(const row_blocks<T>& x, std::int64_t rank, random_source& random, thread_pool& pool) {
    const std::int64_t r = std::min({rank, x.rows(), x.cols()});
    matrix<T> signs(x.rows(), r);
    for (std::int64_t i = 0; i < signs.size();) {
        for (std::uint64_t bits = random.bits(), n = 0; n < 64 && i < signs.size(); ++n, ++i, bits >>= 1U) {
            signs.data()[i] = (bits & 1U) != 0 ? T{1} : T{-1};
        }
    }
    std::vector<matrix<T>> packed(static_cast<std::size_t>(pool.size()));
    auto basis = weighted_sums(x, r, pool, [&](std::int64_t first, std::int64_t count, int worker) {
        return std::pair(signs.row(first), rows_of(x, first, count, packed[static_cast<std::size_t>(worker)]));
    });
    basis = orthonormal_rows(std::move(basis), pool);
    if (basis.rows() > 0) basis = orthonormal_rows(project(x, basis, true, pool).image, pool);
    if (basis.rows() == 0) return {};
    auto coordinates = project(x, basis, false, pool).coordinates;
    return {std::move(coordinates), std::move(basis)};
}

/// weights basis (n x padded D), of weights n x r or wider.
template <class T>
matrix<T> combined(const matrix<T>& weights, const matrix<T>& basis) {
    matrix<T> transposed(basis.rows(), weights.rows());
    for (std::int64_t k = 0; k < weights.rows(); ++k) {
        for (std::int64_t q = 0; q < basis.rows(); ++q) transposed(q, k) = weights(k, q);
    }
    matrix<T> rows(weights.rows(), basis.cols());
    accumulate_outer(transposed.data(), weights.rows(), basis.data(), basis.rows(), weights.rows(), basis.cols(),
                     rows.data());
    return rows;
}

}  // namespace coxlmm::linalg
