// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/range_finder.hpp"
#include "coxlmm/linalg/tile.hpp"

/// The randomised range finder (Halko, Martinsson, Tropp, SIAM Review 53, 2011) for centred samples Xc.
namespace coxlmm::linalg {

/// weights^T Xc (n x padded D), where weights_of(tile, first, count, worker) points to the weights of a tile, n a row.
template <class T, class WeightsOf>
matrix<T> centred_products(const row_blocks<T>& x, const origin<T>& from, std::int64_t n, thread_pool& pool, const WeightsOf& weights_of) {
    const auto part = partition::of<T>(x.rows(), x.cols(), n);
    std::vector<matrix<T>> groups(static_cast<std::size_t>(part.n_groups));
    for_each_centred_tile(x, from, part, pool,
                          [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t g, int worker) {
                              auto& sums = groups[static_cast<std::size_t>(g)];
                              if (sums.size() == 0) sums = matrix<T>(n, tile.cols());
                              const T* weights = weights_of(tile, first, count, worker);
                              accumulate_outer(weights, n, tile.data(), count, n, tile.cols(), sums.data());
                          });
    return added_up(std::move(groups));
}

/// basis Xc^T Xc.
template <class T>
matrix<T> covariance_product(const row_blocks<T>& x, const origin<T>& from, const matrix<T>& basis, thread_pool& pool) {
    const std::int64_t r = basis.rows();
    struct scratch {
        matrix<double> products;
        matrix<T> coordinates;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    return centred_products(x, from, r, pool, [&](const matrix<T>& tile, std::int64_t, std::int64_t count, int worker) {
        auto& s = scratches[static_cast<std::size_t>(worker)];
        if (s.products.size() == 0) s = {matrix<double>(r, tile.rows()), matrix<T>(tile.rows(), r)};
        dot_products(tile.data(), count, basis.data(), r, tile.cols(), s.products.data(), tile.rows());
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t k = 0; k < r; ++k) s.coordinates(i, k) = static_cast<T>(s.products(k, i));
        }
        return s.coordinates.data();
    });
}

/// Orthonormal rows, at most `rank`, that span most of Xc: random sums of the samples, and then as many power iterations.
template <class T>
matrix<T> centred_range(const row_blocks<T>& x, const origin<T>& from, std::int64_t rank, std::int64_t n_power_iterations,
                        random_source& random, thread_pool& pool) {
    const std::int64_t r = std::min({rank, x.rows(), x.cols()});
    matrix<T> weights(x.rows(), r);
    for (std::int64_t i = 0; i < weights.size(); ++i) weights.data()[i] = static_cast<T>(random.normal());
    auto basis = orthonormal_rows(
        centred_products(x, from, r, pool,
                         [&](const matrix<T>&, std::int64_t first, std::int64_t, int) { return std::as_const(weights).row(first); }),
        pool);
    for (std::int64_t power = 0; power < n_power_iterations && basis.rows() > 0; ++power) {
        basis = orthonormal_rows(covariance_product(x, from, basis, pool), pool);
    }
    return basis;
}

/// Xc basis^T, M x r.
template <class T>
matrix<T> centred_coordinates(const row_blocks<T>& x, const origin<T>& from, const matrix<T>& basis, thread_pool& pool) {
    const std::int64_t r = basis.rows();
    const auto part = partition::of<T>(x.rows(), x.cols(), r);
    matrix<T> coordinates(x.rows(), r);
    std::vector<matrix<double>> scratch(static_cast<std::size_t>(pool.size()));
    for_each_centred_tile(x, from, part, pool,
                          [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int worker) {
                              auto& products = scratch[static_cast<std::size_t>(worker)];
                              if (products.size() == 0) products = matrix<double>(r, part.tile);
                              dot_products(tile.data(), count, basis.data(), r, tile.cols(), products.data(), part.tile);
                              for (std::int64_t i = 0; i < count; ++i) {
                                  for (std::int64_t k = 0; k < r; ++k) coordinates(first + i, k) = static_cast<T>(products(k, i));
                              }
                          });
    return coordinates;
}

/// weights basis (n x padded D), of weights n x r.
template <class T>
matrix<T> combined(const matrix<T>& weights, const matrix<T>& basis) {
    matrix<T> transposed(weights.cols(), weights.rows());
    for (std::int64_t k = 0; k < weights.rows(); ++k) {
        for (std::int64_t q = 0; q < weights.cols(); ++q) transposed(q, k) = weights(k, q);
    }
    matrix<T> rows(weights.rows(), basis.cols());
    accumulate_outer(transposed.data(), weights.rows(), basis.data(), basis.rows(), weights.rows(), basis.cols(), rows.data());
    return rows;
}

}  // namespace coxlmm::linalg
