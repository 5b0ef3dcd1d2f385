// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/linalg/range_finder.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::random_source;
using coxlmm::thread_pool;
namespace linalg = coxlmm::linalg;
using namespace support;

TEMPLATE_TEST_CASE("tile products agree with plain loops at every size", "[linalg]", float, double) {
    const std::int64_t n_features = GENERATE(1, 7, 64, 130, 1024, 2500);
    const std::int64_t n_atoms = GENERATE(1, 2, 3, 5, 6, 11, 21);
    const auto x = gaussian<TestType>(13, n_features, 70);
    const auto u = gaussian<TestType>(n_atoms, n_features, 71);
    const std::int64_t stride = linalg::padded_length<TestType>(n_features);
    matrix<TestType> tile(32, stride);
    linalg::pack_rows(coxlmm::as_row_blocks(x), 0, 13, tile.data(), 32, stride);
    const auto atoms = linalg::pack_matrix(coxlmm::as_row_blocks(u));
    matrix<double> products(n_atoms, 32);
    linalg::dot_products(tile.data(), 32, atoms.data(), n_atoms, stride, products.data(), 32);
    const double close = tolerance<TestType> * std::sqrt(static_cast<double>(n_features)) * 10;
    for (std::int64_t k = 0; k < n_atoms; ++k) {
        for (std::int64_t i = 0; i < 32; ++i) {
            double expected = 0;
            for (std::int64_t d = 0; i < 13 && d < n_features; ++d) expected += static_cast<double>(x(i, d)) * static_cast<double>(u(k, d));
            REQUIRE(products(k, i) == Approx(expected).margin(close));
        }
    }
    const auto codes = gaussian<TestType>(32, n_atoms, 72);
    matrix<TestType> sums(n_atoms, stride);
    for (int twice = 0; twice < 2; ++twice) {
        linalg::accumulate_outer(codes.data(), n_atoms, tile.data(), 32, n_atoms, stride, sums.data());
    }
    for (std::int64_t k = 0; k < n_atoms; ++k) {
        for (std::int64_t d = 0; d < stride; ++d) {
            double expected = 0;
            for (std::int64_t i = 0; i < 13 && d < n_features; ++i) expected += 2 * static_cast<double>(codes(i, k)) * static_cast<double>(x(i, d));
            REQUIRE(sums(k, d) == Approx(expected).margin(100 * tolerance<TestType>));
        }
    }
}

TEST_CASE("tiles and groups cover every sample once", "[linalg]") {
    for (const std::int64_t n_samples : {1, 31, 64, 65, 5000, 100001}) {
        for (const std::int64_t n_features : {3, 2048, 8192}) {
            for (const std::int64_t n_atoms : {1, 20, 200}) {
                const auto p = linalg::partition::of<float>(n_samples, n_features, n_atoms);
                CHECK(p.n_groups >= 1);
                CHECK(p.first_tile(0) == 0);
                CHECK(p.first_tile(p.n_groups) == p.n_tiles);
                CHECK(p.n_tiles * p.tile >= n_samples);
                CHECK((p.n_tiles - 1) * p.tile < n_samples);
                for (std::int64_t g = 0; g < p.n_groups; ++g) CHECK(p.first_tile(g) < p.first_tile(g + 1));
            }
        }
    }
}

TEMPLATE_TEST_CASE("a sketch of low-rank data keeps all of it", "[linalg]", float, double) {
    // Five directions of very different size, the first a large common mean.
    const auto codes = gaussian<TestType>(200, 5, 73);
    const auto u = gaussian<TestType>(5, 300, 74);
    const double sizes[] = {100, 10, 3, 1, 0.3};
    matrix<TestType> x(200, 300);
    for (std::int64_t i = 0; i < 200; ++i) {
        for (std::int64_t d = 0; d < 300; ++d) {
            double value = 0;
            for (std::int64_t k = 0; k < 5; ++k) {
                value += sizes[k] * (k == 0 ? 1.0 : static_cast<double>(codes(i, k))) * static_cast<double>(u(k, d));
            }
            x(i, d) = static_cast<TestType>(value);
        }
    }
    thread_pool pool(2);
    random_source random(1);
    const auto sketch = linalg::sketch_of(coxlmm::as_row_blocks(x), 12, random, pool);
    REQUIRE(sketch.basis.rows() >= 5);
    for (std::int64_t a = 0; a < sketch.basis.rows(); ++a) {
        for (std::int64_t b = 0; b <= a; ++b) {
            double dot = 0;
            for (std::int64_t d = 0; d < 300; ++d) dot += static_cast<double>(sketch.basis(a, d)) * static_cast<double>(sketch.basis(b, d));
            CHECK(dot == Approx(a == b ? 1.0 : 0.0).margin(10 * tolerance<TestType>));
        }
    }
    double lost = 0;
    for (std::int64_t i = 0; i < 200; ++i) {
        for (std::int64_t d = 0; d < 300; ++d) {
            double value = static_cast<double>(x(i, d));
            for (std::int64_t r = 0; r < sketch.basis.rows(); ++r) {
                value -= static_cast<double>(sketch.coordinates(i, r)) * static_cast<double>(sketch.basis(r, d));
            }
            lost = std::max(lost, std::abs(value));
        }
    }
    // Well below the smallest direction, 0.3, beside a mean of 100.
    CHECK(lost < 1e4 * tolerance<TestType>);
}

TEMPLATE_TEST_CASE("nearly parallel rows become orthonormal, and copies are dropped", "[linalg]", float, double) {
    // A common offset a thousand times the differences: one Gram-Schmidt pass alone leaves its rounding behind.
    auto rows = gaussian<TestType>(7, 60, 75);
    for (std::int64_t i = 0; i < rows.size(); ++i) rows.data()[i] += 1000;
    std::copy_n(rows.row(2), 60, rows.row(5));
    coxlmm::thread_pool pool(1);
    const auto basis = linalg::orthonormal_rows(linalg::pack_matrix(coxlmm::as_row_blocks(rows)), pool);
    REQUIRE(basis.rows() == 6);
    for (std::int64_t a = 0; a < 6; ++a) {
        for (std::int64_t b = 0; b <= a; ++b) {
            double dot = 0;
            for (std::int64_t d = 0; d < 60; ++d) dot += static_cast<double>(basis(a, d)) * static_cast<double>(basis(b, d));
            CHECK(dot == Approx(a == b ? 1.0 : 0.0).margin(sizeof(TestType) == 4 ? 1e-6 : 1e-14));
        }
    }
}

TEST_CASE("random numbers are the published ones and fill their range", "[linalg]") {
    random_source splitmix(1234567);
    // First outputs of the reference implementation for this seed.
    CHECK(splitmix.bits() == 6457827717110365317ULL);
    CHECK(splitmix.bits() == 3203168211198807973ULL);
    CHECK(splitmix.bits() == 9817491932198370423ULL);
    random_source random(2);
    std::vector<int> hits(7);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < 7000; ++i) {
        ++hits[static_cast<std::size_t>(random.below(7))];
        const double z = random.normal();
        sum += z;
        squares += z * z;
    }
    for (const int count : hits) CHECK(std::abs(count - 1000) < 150);
    CHECK(std::abs(sum / 7000) < 0.06);
    CHECK(squares / 7000 == Approx(1).margin(0.1));
}

TEMPLATE_TEST_CASE("rows are normalized however long or short they are", "[linalg]", float, double) {
    const int extreme = std::numeric_limits<TestType>::max_exponent - 8;
    const int exponent = GENERATE_COPY(0, 3 * extreme / 4, -3 * extreme / 4, extreme, -extreme);
    const std::int64_t stride = linalg::padded_length<TestType>(50);
    matrix<TestType> row(1, stride);
    const auto plain = gaussian<TestType>(1, 50, 7);
    for (std::int64_t d = 0; d < 50; ++d) row(0, d) = std::ldexp(plain(0, d), exponent);
    linalg::normalize(row.data(), stride);
    for (std::int64_t d = 0; d < 50; ++d) {
        REQUIRE(static_cast<double>(row(0, d)) == Approx(static_cast<double>(plain(0, d)) / row_norm(plain, 0)).epsilon(1e-4).margin(1e-5));
    }
}
