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

/// Rows that are orthonormal and span the same space, by Gram-Schmidt done twice; rows that add nothing are dropped.
/// `pool` is only asked whether to go on.
template <class T>
matrix<T> orthonormal_rows(matrix<T> rows, thread_pool& pool) {
    constexpr double negligible = sizeof(T) == 4 ? 1e-5 : 1e-11;
    const std::int64_t stride = rows.cols();
    std::int64_t kept = 0;
    for (std::int64_t r = 0; r < rows.rows(); ++r) {
        pool.step();
        if (kept != r) std::copy_n(rows.row(r), stride, rows.row(kept));
        T* row = rows.row(kept);
        const double before = std::sqrt(dot(row, row, stride));
        if (!(before > 0)) continue;
        normalize(row, stride);
        for (int twice = 0; twice < 2; ++twice) {
            for (std::int64_t q = 0; q < kept; ++q) {
                const T along = static_cast<T>(-dot(row, rows.row(q), stride));
                const T* other = rows.row(q);
                for (std::int64_t d = 0; d < stride; ++d) row[d] += along * other[d];
            }
        }
        if (std::sqrt(dot(row, row, stride)) <= negligible) continue;
        normalize(row, stride);
        ++kept;
    }
    matrix<T> basis(kept, stride);
    std::copy_n(rows.data(), kept * stride, basis.data());
    return basis;
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
    const std::int64_t stride = basis.cols();
    const auto part = partition::of<T>(x.rows(), x.cols(), r);
    struct scratch {
        matrix<T> rows;
        matrix<double> products;
        matrix<T> coordinates;
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    std::vector<matrix<T>> images(static_cast<std::size_t>(part.n_groups));
    projection<T> result;
    result.coordinates = matrix<T>(x.rows(), r);
    pool.run(part.n_groups, [&](std::int64_t g, int worker) {
        auto& s = scratches[static_cast<std::size_t>(worker)];
        auto& image = images[static_cast<std::size_t>(g)];
        if (s.rows.size() == 0) s = {matrix<T>(part.tile, stride), matrix<double>(r, part.tile), matrix<T>(part.tile, r)};
        if (with_image) image = matrix<T>(r, stride);
        for (std::int64_t t = part.first_tile(g); t < part.first_tile(g + 1); ++t) {
            const std::int64_t first = t * part.tile;
            const std::int64_t count = std::min(part.tile, x.rows() - first);
            pack_rows(x, first, count, s.rows.data(), part.tile, stride);
            dot_products(s.rows.data(), part.tile, basis.data(), r, stride, s.products.data(), part.tile);
            for (std::int64_t i = 0; i < part.tile; ++i) {
                for (std::int64_t k = 0; k < r; ++k) s.coordinates(i, k) = static_cast<T>(s.products(k, i));
            }
            std::copy_n(s.coordinates.data(), count * r, result.coordinates.row(first));
            if (with_image) {
                accumulate_outer(s.coordinates.data(), r, s.rows.data(), part.tile, r, stride, image.data());
            }
            pool.step();
        }
    });
    if (with_image) {
        result.image = std::move(images.front());
        for (std::size_t g = 1; g < images.size(); ++g) {
            const T* in = images[g].data();
            T* out = result.image.data();
            for (std::int64_t i = 0; i < result.image.size(); ++i) out[i] += in[i];
        }
    }
    return result;
}

/// X seen in few dimensions: coordinates = X basis^T, basis orthonormal in padded rows.
template <class T>
struct sketch {
    matrix<T> coordinates;
    matrix<T> basis;
};

/// The subspace of at most `rank` dimensions after two subspace iterations: three reads of X.
template <class T>
sketch<T> sketch_of(const row_blocks<T>& x, std::int64_t rank, random_source& random, thread_pool& pool) {
    matrix<T> basis(std::min({rank, x.rows(), x.cols()}), padded_length<T>(x.cols()));
    for (std::int64_t r = 0; r < basis.rows(); ++r) {
        for (std::int64_t d = 0; d < x.cols(); ++d) basis(r, d) = static_cast<T>(random.normal());
        normalize(basis.row(r), basis.cols());
    }
    for (int iteration = 0; iteration < 2; ++iteration) {
        basis = orthonormal_rows(project(x, basis, true, pool).image, pool);
        if (basis.rows() == 0) return {};
    }
    auto coordinates = project(x, basis, false, pool).coordinates;
    return {std::move(coordinates), std::move(basis)};
}

/// Rows given by coordinates (padded) in an orthonormal basis, as rows of the full space, in the unit ball.
template <class T>
matrix<T> lifted(const matrix<T>& coordinates, const matrix<T>& basis) {
    const std::int64_t n = coordinates.rows();
    const std::int64_t stride = basis.cols();
    matrix<T> rows(n, stride);
    matrix<T> transposed(basis.rows(), n);
    for (std::int64_t k = 0; k < n; ++k) {
        for (std::int64_t r = 0; r < basis.rows(); ++r) transposed(r, k) = coordinates(k, r);
    }
    accumulate_outer(transposed.data(), n, basis.data(), basis.rows(), n, stride, rows.data());
    for (std::int64_t k = 0; k < n; ++k) {
        if (dot(rows.row(k), rows.row(k), stride) > 1) normalize(rows.row(k), stride);
    }
    return rows;
}

}  // namespace coxlmm::linalg
