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
#include "coxlmm/linalg/centred_gram.hpp"
#include "coxlmm/linalg/centred_range.hpp"
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/range_finder.hpp"
#include "coxlmm/linalg/symmetric_eigen.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

/// Directions beyond those asked for that a random subspace needs to hold them well (Halko et al., section 4.3).
inline constexpr std::int64_t oversampling = 10;

template <class T>
struct principal_components {
    matrix<T> components;         // K x D
    matrix<T> scores;             // M x K
    std::vector<double> squares;  // sums of squares of the columns of the scores
    double total_squares = 0;     // of the centred samples
    std::vector<double> mean;
};

/// Rows of unit length, orthogonal to all rows there are and to one another, until there are `wanted`. Each starts from
/// the axis that is farthest from the span of those before it.
template <class T>
matrix<T> completed(const matrix<T>& orthonormal, std::int64_t wanted, std::int64_t n_features) {
    const std::int64_t stride = orthonormal.cols();
    matrix<T> rows(wanted, stride);
    std::copy_n(orthonormal.data(), std::min(wanted, orthonormal.rows()) * stride, rows.data());
    if (orthonormal.rows() >= wanted) return rows;
    std::vector<double> covered(static_cast<std::size_t>(n_features));
    const auto cover = [&](std::int64_t r) {
        for (std::int64_t d = 0; d < n_features; ++d) {
            covered[static_cast<std::size_t>(d)] += static_cast<double>(rows(r, d)) * static_cast<double>(rows(r, d));
        }
    };
    for (std::int64_t r = 0; r < orthonormal.rows(); ++r) cover(r);
    for (std::int64_t r = orthonormal.rows(); r < wanted; ++r) {
        const auto axis = std::min_element(covered.begin(), covered.end()) - covered.begin();
        T* row = rows.row(r);
        row[axis] = 1;
        for (int twice = 0; twice < 2; ++twice) {
            for (std::int64_t q = 0; q < r; ++q) {
                const T along = static_cast<T>(-linalg::dot(row, rows.row(q), stride));
                for (std::int64_t d = 0; d < stride; ++d) row[d] += along * rows(q, d);
            }
            linalg::normalize(row, stride);
        }
        cover(r);
    }
    return rows;
}

/// Rows of double, `n_features` long and padded or not, made orthonormal -> padded rows of T.
template <class T>
matrix<T> orthonormal_in(const matrix<double>& rows, std::int64_t n_features, thread_pool& pool) {
    const matrix_ref<const double> features(rows.data(), rows.rows(), n_features, rows.cols(), 1);
    const auto basis = linalg::orthonormal_rows(linalg::pack_matrix(row_blocks<double>(features)), pool);
    matrix<T> narrow(basis.rows(), linalg::padded_length<T>(n_features));
    for (std::int64_t r = 0; r < basis.rows(); ++r) {
        for (std::int64_t d = 0; d < n_features; ++d) narrow(r, d) = static_cast<T>(basis(r, d));
    }
    return narrow;
}

/// An orthonormal basis of the leading directions, exactly: eigenvectors of the smaller Gram matrix.
template <class T>
matrix<T> exact_basis(const row_blocks<T>& x, const linalg::origin<T>& mean, std::int64_t n_components, thread_pool& pool) {
    if (x.cols() <= x.rows()) {
        const auto found = linalg::largest_eigenpairs(linalg::feature_gram(x, mean, pool), n_components, pool);
        return orthonormal_in<T>(found.vectors, x.cols(), pool);
    }
    const auto found = linalg::largest_eigenpairs(linalg::sample_gram(x, mean, pool), n_components, pool);
    auto directions = linalg::centred_sums(x, mean, found.vectors, pool);
    // Singular vectors of vanishing singular values: what is left of them is rounding.
    const double least = found.values.front() * 1e-24;
    for (std::int64_t k = 0; k < n_components; ++k) {
        if (!(linalg::squared_norm(directions.row(k), directions.cols()) > least)) {
            std::fill_n(directions.row(k), directions.cols(), 0.0);
        }
    }
    return orthonormal_in<T>(directions, x.cols(), pool);
}

/// The largest entry of every row, in absolute value, is positive (the first of equal ones).
template <class T>
void fix_sign(T* row, std::int64_t n, T* scores, std::int64_t n_scores, std::int64_t step) {
    const T* largest = std::max_element(row, row + n, [](T a, T b) { return std::abs(a) < std::abs(b); });
    if (*largest >= 0) return;
    for (std::int64_t d = 0; d < n; ++d) row[d] = -row[d];
    for (std::int64_t i = 0; i < n_scores; ++i) scores[i * step] = -scores[i * step];
}

/// Principal components within a subspace (Rayleigh and Ritz).
template <class T>
principal_components<T> components_within(const linalg::subspace<T>& space, std::int64_t n_components,
                                          std::int64_t n_features, thread_pool& pool) {
    constexpr std::int64_t batch = 64;
    const std::int64_t n_samples = space.coordinates.rows();
    const std::int64_t r = space.basis.rows();
    const auto found = linalg::largest_eigenpairs(linalg::gram_of_columns(space.coordinates, r, pool), n_components, pool);
    principal_components<T> result;
    result.total_squares = space.squares;
    for (const double value : found.values) result.squares.push_back(std::max(0.0, value));
    matrix<T> directions(n_components, linalg::padded_length<T>(r));
    for (std::int64_t k = 0; k < n_components; ++k) {
        for (std::int64_t q = 0; q < r; ++q) directions(k, q) = static_cast<T>(found.vectors(k, q));
    }
    result.components = linalg::unpacked(linalg::combined(linalg::unpacked(directions, r), space.basis), n_features);
    result.scores = matrix<T>(n_samples, n_components);
    pool.run((n_samples + batch - 1) / batch, [&](std::int64_t b, int) {
        const std::int64_t first = b * batch;
        const std::int64_t count = std::min(batch, n_samples - first);
        matrix<double> rotated(n_components, count);
        const linalg::tile_rows<T> rows{space.coordinates.row(first), space.coordinates.cols()};
        linalg::dot_products(rows, count, directions.data(), n_components, directions.cols(), linalg::whole_lines<T>(r),
                             rotated.data(), count);
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t k = 0; k < n_components; ++k) result.scores(first + i, k) = static_cast<T>(rotated(k, i));
        }
    });
    for (std::int64_t k = 0; k < n_components; ++k) {
        fix_sign(result.components.row(k), n_features, result.scores.data() + k, n_samples, n_components);
    }
    return result;
}

/// Whether the exact solution is about as cheap, or most of the space is asked for and a random part of it is all of it.
inline bool prefers_exact(std::int64_t largest_rank, std::int64_t n_components) {
    return largest_rank <= 500 || n_components + oversampling >= largest_rank / 2;
}

template <class T>
principal_components<T> fit_pca(const row_blocks<T>& x, std::int64_t n_components, bool exact,
                                std::int64_t n_power_iterations, std::uint64_t seed, thread_pool& pool) {
    linalg::require_range<T>(linalg::checked_norms(x, "X", pool), "X");
    auto mean = linalg::column_means(x, pool);
    const auto from = linalg::origin<T>::at(mean);
    linalg::subspace<T> space;
    if (exact) {
        space = linalg::seen_in(exact_basis(x, from, n_components, pool), x, from, pool);
    } else {
        random_source random(seed);
        space = linalg::krylov_space(x, from, n_components + oversampling, n_power_iterations, random, pool);
    }
    if (space.basis.rows() < n_components) {
        // Nothing of the samples is left for the other directions.
        space.basis = completed(space.basis, n_components, x.cols());
        matrix<T> coordinates(x.rows(), linalg::padded_length<T>(n_components));
        const std::int64_t known = std::min(space.coordinates.cols(), n_components);
        for (std::int64_t i = 0; i < x.rows(); ++i) std::copy_n(space.coordinates.row(i), known, coordinates.row(i));
        space.coordinates = std::move(coordinates);
    }
    auto result = components_within(space, n_components, x.cols(), pool);
    result.mean = std::move(mean);
    return result;
}

}  // namespace coxlmm::detail
