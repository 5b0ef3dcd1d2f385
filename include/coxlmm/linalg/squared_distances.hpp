// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/simd.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// |a - b|^2 of padded rows, from their differences.
template <class T>
double squared_distance(const T* a, const T* b, std::int64_t stride) {
    using v = simd<T>;
    constexpr std::int64_t chunk = terms_in_a_sum * v::width;
    double total = 0;
    for (std::int64_t begin = 0; begin < stride; begin += chunk) {
        const std::int64_t end = std::min(begin + chunk, stride);
        auto sum = v::broadcast(T{});
        for (std::int64_t d = begin; d < end; d += v::width) {
            const auto difference = v::sub(v::load(a + d), v::load(b + d));
            sum = v::madd(difference, difference, sum);
        }
        total += static_cast<double>(v::sum(sum));
    }
    return total;
}

/// Points in padded rows, and their squared norms.
template <class T>
struct point_set {
    matrix<T> rows;
    std::vector<double> squares;

    explicit point_set(matrix<T> points) : rows(std::move(points)), squares(static_cast<std::size_t>(rows.rows())) {
        for (std::int64_t k = 0; k < rows.rows(); ++k)
            squares[static_cast<std::size_t>(k)] = squared_norm(rows.row(k), rows.cols());
    }
};

/// out(k, i) = |row i - point k|^2 of the first `count` rows of a packed tile, whose squared norms are given: by
/// |x|^2 - 2 x c + |c|^2, and from the differences where that would leave few digits.
template <class T>
void squared_distances(const matrix<T>& tile, std::int64_t count, const double* squares, const point_set<T>& points,
                       matrix<double>& out) {
    constexpr double cancelled = 1.0 / 64;
    const std::int64_t stride = tile.cols();
    dot_products(tile.data(), count, points.rows.data(), points.rows.rows(), stride, out.data(), out.cols());
    for (std::int64_t k = 0; k < points.rows.rows(); ++k) {
        const double square = points.squares[static_cast<std::size_t>(k)];
        for (std::int64_t i = 0; i < count; ++i) {
            const double size = squares[i] + square;
            double& distance = out(k, i);
            distance = size - 2 * distance;
            if (distance < cancelled * size) distance = squared_distance(tile.row(i), points.rows.row(k), stride);
        }
    }
}

}  // namespace coxlmm::linalg
