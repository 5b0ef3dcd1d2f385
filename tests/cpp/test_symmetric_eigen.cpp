// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/linalg/symmetric_eigen.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::thread_pool;
using coxlmm::linalg::largest_eigenpairs;
using namespace support;

namespace {

/// H diag(values) H for a reflection H: symmetric, with known eigenvalues.
matrix<double> with_eigenvalues(const std::vector<double>& values, std::uint64_t seed) {
    const auto n = static_cast<std::int64_t>(values.size());
    auto u = gaussian<double>(1, n, seed);
    scale_rows_to_one(u);
    double along = 0;  // u diag(values) u
    for (std::int64_t i = 0; i < n; ++i) along += u(0, i) * u(0, i) * values[static_cast<std::size_t>(i)];
    matrix<double> m(n, n);
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            m(i, j) = (i == j ? values[static_cast<std::size_t>(i)] : 0.0) + 4 * along * u(0, i) * u(0, j) -
                      2 * u(0, i) * u(0, j) * (values[static_cast<std::size_t>(i)] + values[static_cast<std::size_t>(j)]);
        }
    }
    return m;
}

void check_eigenpairs(const matrix<double>& m, std::vector<double> values, std::int64_t n) {
    thread_pool pool(1);
    matrix<double> upper = m;
    for (std::int64_t i = 0; i < m.rows(); ++i) std::fill_n(upper.row(i), i, -7.0);  // is not read
    const auto found = largest_eigenpairs(upper, n, pool);
    std::sort(values.begin(), values.end(), [](double a, double b) { return a > b; });
    double norm = 0;
    for (const double v : values) norm = std::max(norm, std::abs(v));
    REQUIRE(found.vectors.rows() == n);
    double worst = 0;
    double skew = 0;
    for (std::int64_t k = 0; k < n; ++k) {
        CHECK(std::abs(found.values[static_cast<std::size_t>(k)] - values[static_cast<std::size_t>(k)]) <= 1e-12 * norm);
        const double* z = found.vectors.row(k);
        for (std::int64_t i = 0; i < m.rows(); ++i) {
            double left = -found.values[static_cast<std::size_t>(k)] * z[i];
            for (std::int64_t j = 0; j < m.rows(); ++j) left += m(i, j) * z[j];
            worst = std::max(worst, std::abs(left));
        }
        for (std::int64_t l = 0; l <= k; ++l) {
            double dot = k == l ? -1 : 0;
            for (std::int64_t i = 0; i < m.rows(); ++i) dot += z[i] * found.vectors(l, i);
            skew = std::max(skew, std::abs(dot));
        }
    }
    CHECK(worst <= 1e-12 * norm);
    CHECK(skew <= 1e-12);
}

}  // namespace

TEST_CASE("the largest eigenpairs of a symmetric matrix", "[linalg]") {
    const std::int64_t size = GENERATE(1, 2, 40, 260);
    const double scale = GENERATE(1.0, 1e-150, 1e150);
    std::vector<double> different(static_cast<std::size_t>(size));
    std::vector<double> repeated(different.size());
    std::vector<double> decaying(different.size());
    coxlmm::random_source random(3);
    for (std::size_t i = 0; i < different.size(); ++i) {
        different[i] = scale * random.normal();
        repeated[i] = scale * (i % 3 == 0 ? 5 : -1);
        decaying[i] = scale * std::pow(0.5, static_cast<double>(i));
    }
    for (const auto& values : {different, repeated, decaying, std::vector<double>(different.size(), scale),
                               std::vector<double>(different.size())}) {
        check_eigenpairs(with_eigenvalues(values, 4), values, std::min<std::int64_t>(size, 90));
    }
}

TEST_CASE("all eigenpairs there are, of a matrix that is diagonal too", "[linalg]") {
    std::vector<double> values(230);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 100);
    check_eigenpairs(with_eigenvalues(values, 5), values, 230);
    matrix<double> diagonal(230, 230);
    for (std::int64_t i = 0; i < 230; ++i) diagonal(i, i) = values[static_cast<std::size_t>(i)];
    check_eigenpairs(diagonal, values, 230);
}

TEST_CASE("a checkpoint ends a long search for eigenvectors", "[linalg]") {
    struct enough {};
    thread_pool pool(1, [] { throw enough{}; });
    std::vector<double> values(900);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
    const auto m = with_eigenvalues(values, 6);
    CHECK_THROWS_AS(largest_eigenpairs(m, 900, pool), enough);
}
