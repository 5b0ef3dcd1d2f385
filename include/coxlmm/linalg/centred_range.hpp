// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
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

/// A few directions that hold nearly all of the centred samples Xc.
namespace coxlmm::linalg {

/// Xc seen in few dimensions: coordinates = Xc basis^T.
template <class T>
struct subspace {
    matrix<T> basis;        // orthonormal, in padded rows
    matrix<T> coordinates;  // one sample a row, as many columns as the basis has rows, and zeros up to a padded length
    double squares = 0;     // |Xc|^2
};

/// weights^T Xc (n x padded D), where weights_of(tile, first, count, worker) points to the weights of a tile, n a row.
template <class T, class WeightsOf>
matrix<T> centred_products(const row_blocks<T>& x, const origin<T>& from, std::int64_t n, thread_pool& pool,
                           const WeightsOf& weights_of) {
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

/// The coordinates of a tile in the directions `rows`, a sample a row: into `tight` without gaps, and into columns
/// [column, ...) of `coordinates`.
template <class T>
void coordinates_of_tile(const matrix<T>& tile, std::int64_t first, std::int64_t count, const matrix<T>& rows,
                         matrix<double>& products, matrix<T>& tight, matrix<T>& coordinates, std::int64_t column) {
    const std::int64_t r = rows.rows();
    if (products.size() == 0) {
        products = matrix<double>(r, tile.rows());
        tight = matrix<T>(tile.rows(), r);
    }
    dot_products(tile.data(), count, rows.data(), r, tile.cols(), products.data(), tile.rows());
    for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t k = 0; k < r; ++k) tight(i, k) = static_cast<T>(products(k, i));
        std::copy_n(tight.row(i), r, coordinates.row(first + i) + column);
    }
}

/// rows Xc^T Xc, and Xc rows^T into columns [column, ...) of `coordinates`.
template <class T>
matrix<T> covariance_product(const row_blocks<T>& x, const origin<T>& from, const matrix<T>& rows, matrix<T>& coordinates,
                             std::int64_t column, thread_pool& pool) {
    struct scratch {
        matrix<double> products;
        matrix<T> tight;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    return centred_products(x, from, rows.rows(), pool,
                            [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, int worker) {
                                auto& s = scratches[static_cast<std::size_t>(worker)];
                                coordinates_of_tile(tile, first, count, rows, s.products, s.tight, coordinates, column);
                                return std::as_const(s.tight).data();
                            });
}

/// Xc rows^T into columns [column, ...) of `coordinates`.
template <class T>
void centred_coordinates(const row_blocks<T>& x, const origin<T>& from, const matrix<T>& rows, matrix<T>& coordinates,
                         std::int64_t column, thread_pool& pool) {
    struct scratch {
        matrix<double> products;
        matrix<T> tight;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    for_each_centred_tile(x, from, partition::of<T>(x.rows(), x.cols(), 1), pool,
                          [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int worker) {
                              auto& s = scratches[static_cast<std::size_t>(worker)];
                              coordinates_of_tile(tile, first, count, rows, s.products, s.tight, coordinates, column);
                          });
}

/// Xc in the directions of an orthonormal basis.
template <class T>
subspace<T> seen_in(matrix<T> basis, const row_blocks<T>& x, const origin<T>& from, thread_pool& pool) {
    subspace<T> space{std::move(basis), {}};
    space.coordinates = matrix<T>(x.rows(), padded_length<T>(space.basis.rows()));
    std::vector<double> squares(static_cast<std::size_t>(x.rows()));
    for_each_centred_tile(x, from, partition::of<T>(x.rows(), x.cols(), 1), pool,
                          [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int) {
                              for (std::int64_t i = 0; i < count; ++i) {
                                  squares[static_cast<std::size_t>(first + i)] = squared_norm(tile.row(i), tile.cols());
                              }
                          });
    for (const double square : squares) space.squares += square;
    if (space.basis.rows() > 0) centred_coordinates(x, from, space.basis, space.coordinates, 0, pool);
    return space;
}

/// Rows without their part in the span of the first `n` rows of an orthonormal basis; those of which hardly more than
/// rounding is left become zero.
template <class T>
void remove_span(matrix<T>& rows, const matrix<T>& basis, std::int64_t n) {
    constexpr double negligible = sizeof(T) == 4 ? 1e-5 : 1e-11;
    matrix<double> products(n, rows.rows());
    matrix<T> negated(n, rows.rows());
    for (std::int64_t r = 0; r < rows.rows(); ++r) normalize(rows.row(r), rows.cols());
    dot_products(rows.data(), rows.rows(), basis.data(), n, rows.cols(), products.data(), products.cols());
    for (std::int64_t i = 0; i < products.size(); ++i) negated.data()[i] = static_cast<T>(-products.data()[i]);
    accumulate_outer(negated.data(), negated.cols(), basis.data(), n, rows.rows(), rows.cols(), rows.data());
    for (std::int64_t r = 0; r < rows.rows(); ++r) {
        if (!(std::sqrt(dot(rows.row(r), rows.row(r), rows.cols())) > negligible))
            std::fill_n(rows.row(r), rows.cols(), T{});
    }
}

/// The block Krylov space of Xc^T Xc, from `rank` random sums of the samples and after `n_products` products with it
/// (Musco and Musco, NeurIPS 2015). It keeps what power iterations (Halko, Martinsson, Tropp, SIAM Review 53, 2011) go
/// through and throw away, which costs no read of Xc more: every product gives the coordinates of the directions that it
/// started from.
template <class T>
subspace<T> krylov_space(const row_blocks<T>& x, const origin<T>& from, std::int64_t rank, std::int64_t n_products,
                         random_source& random, thread_pool& pool) {
    const std::int64_t whole = std::min(x.rows(), x.cols());
    const std::int64_t r = std::min(rank, whole);
    matrix<T> block;
    std::vector<double> squares(static_cast<std::size_t>(x.rows()));
    {
        matrix<T> weights(x.rows(), r);
        for (std::int64_t i = 0; i < weights.size(); ++i) weights.data()[i] = static_cast<T>(random.normal());
        block = centred_products(x, from, r, pool, [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, int) {
            for (std::int64_t i = 0; i < count; ++i) {
                squares[static_cast<std::size_t>(first + i)] = squared_norm(tile.row(i), tile.cols());
            }
            return std::as_const(weights).row(first);
        });
        block = orthonormal_rows(std::move(block), pool);
    }
    // As long as there are new directions, which is for whole / r products at most.
    const std::int64_t most = std::min(whole, r * (std::min(n_products, whole / r + 1) + 1));
    subspace<T> found{matrix<T>(most, padded_length<T>(x.cols())), matrix<T>(x.rows(), padded_length<T>(most))};
    for (const double square : squares) found.squares += square;
    std::int64_t kept = 0;
    for (std::int64_t product = 0; block.rows() > 0; ++product) {
        const std::int64_t fitting = std::min(block.rows(), most - kept);
        if (fitting < block.rows()) {
            matrix<T> some(fitting, block.cols());
            std::copy_n(block.data(), some.size(), some.data());
            block = std::move(some);
        }
        if (fitting < 1) break;
        std::copy_n(block.data(), block.size(), found.basis.row(kept));
        if (product == n_products || kept + fitting == most) {
            centred_coordinates(x, from, block, found.coordinates, kept, pool);
            kept += fitting;
            break;
        }
        auto image = covariance_product(x, from, block, found.coordinates, kept, pool);
        kept += fitting;
        remove_span(image, found.basis, kept);
        image = orthonormal_rows(std::move(image), pool);
        if (image.rows() > 0) remove_span(image, found.basis, kept);
        block = orthonormal_rows(std::move(image), pool);
    }
    matrix<T> basis(kept, found.basis.cols());
    std::copy_n(found.basis.data(), basis.size(), basis.data());
    found.basis = std::move(basis);
    return found;
}

/// The first `n` columns of `coordinates`: their Gram matrix, in double.
template <class T>
matrix<double> gram_of_columns(const matrix<T>& coordinates, std::int64_t n, thread_pool& pool) {
    constexpr std::int64_t batch = 64;
    const std::int64_t stride = padded_length<double>(n);
    const std::int64_t n_batches = (coordinates.rows() + batch - 1) / batch;
    const std::int64_t n_groups = std::min<std::int64_t>(n_batches, 8);
    std::vector<matrix<double>> groups(static_cast<std::size_t>(n_groups));
    pool.run(n_groups, [&](std::int64_t g, int) {
        auto& sums = groups[static_cast<std::size_t>(g)];
        sums = matrix<double>(n, stride);
        matrix<double> wide(batch, stride);
        for (std::int64_t b = n_batches * g / n_groups; b < n_batches * (g + 1) / n_groups; ++b) {
            const std::int64_t first = b * batch;
            const std::int64_t count = std::min(batch, coordinates.rows() - first);
            for (std::int64_t i = 0; i < count; ++i) {
                for (std::int64_t k = 0; k < n; ++k) wide(i, k) = static_cast<double>(coordinates(first + i, k));
            }
            accumulate_outer(wide.data(), stride, wide.data(), count, n, stride, sums.data());
            pool.step();
        }
    });
    return added_up(std::move(groups));
}

}  // namespace coxlmm::linalg
