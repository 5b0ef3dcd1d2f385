// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/coxlmm.hpp>

#include <Eigen/Core>
#include <catch2/catch.hpp>
#include <cstdint>
#include <utility>
#include <vector>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::matrix_ref;
using namespace support;

namespace {

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using column_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

template <class T>
Eigen::Map<const row_major<T>> mapped(const matrix<T>& m) {
    return {m.data(), m.rows(), m.cols()};
}

template <class M, class T>
void gives_the_same_bits(const M& x, const coxlmm::semi_nmf_result<T>& expected) {
    const auto fit = coxlmm::semi_nmf(x, {.n_components = 4, .l1 = 0.3, .max_iter = 6, .seed = 3});
    CHECK(same_bits(fit.codes, expected.codes));
    CHECK(same_bits(fit.dictionary, expected.dictionary));
    CHECK(fit.history == expected.history);
    const auto encoded = coxlmm::sparse_encode(x, fit.dictionary, {.l1 = 0.3});
    CHECK(same_bits(encoded.codes, coxlmm::sparse_encode(x, expected.dictionary, {.l1 = 0.3}).codes));
}

}  // namespace

TEMPLATE_TEST_CASE("the layout of the same numbers changes no bit", "[views]", float, double) {
    using T = TestType;
    // Whole cache lines are read in place, other widths are packed.
    const std::int64_t n = GENERATE(23, 32);
    const planted<T> problem(90, n, 4, 40, 0.2);
    const auto& x = problem.x;
    const auto expected = coxlmm::semi_nmf(x, {.n_components = 4, .l1 = 0.3, .max_iter = 6, .seed = 3});

    SECTION("raw pointer") { gives_the_same_bits(matrix_ref<const T>(x.data(), 90, n), expected); }
    SECTION("Eigen, row-major and column-major") {
        gives_the_same_bits(row_major<T>(mapped(x)), expected);
        gives_the_same_bits(column_major<T>(mapped(x)), expected);
    }
    SECTION("Eigen block, map, transpose, ref and array") {
        column_major<T> larger = column_major<T>::Random(100, 50);
        larger.block(5, 9, 90, n) = mapped(x);
        gives_the_same_bits(larger.block(5, 9, 90, n), expected);
        gives_the_same_bits(mapped(x), expected);
        const column_major<T> turned = mapped(x).transpose();
        gives_the_same_bits(turned.transpose(), expected);
        const Eigen::Ref<const row_major<T>> ref(mapped(x));
        gives_the_same_bits(ref, expected);
        const Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic> array = mapped(x).array();
        gives_the_same_bits(array, expected);
    }
    SECTION("every third row of every second column") {
        std::vector<T> sparse(static_cast<std::size_t>(270 * 2 * n), T{-99});
        for (std::int64_t i = 0; i < 90; ++i) {
            for (std::int64_t j = 0; j < n; ++j) sparse[static_cast<std::size_t>(3 * i * 2 * n + 2 * j)] = x(i, j);
        }
        gives_the_same_bits(matrix_ref<const T>(sparse.data(), 90, n, 3 * 2 * n, 2), expected);
    }
    SECTION("backwards in both directions") {
        std::vector<T> reversed(x.data(), x.data() + x.size());
        std::reverse(reversed.begin(), reversed.end());
        gives_the_same_bits(matrix_ref<const T>(reversed.data() + x.size() - 1, 90, n, -n, -1), expected);
    }
    SECTION("off every alignment") {
        std::vector<T> shifted(static_cast<std::size_t>(x.size()) + 1);
        std::copy_n(x.data(), x.size(), shifted.data() + 1);
        gives_the_same_bits(matrix_ref<const T>(shifted.data() + 1, 90, n), expected);
    }
}

TEST_CASE("a view aliases, it does not copy", "[views]") {
    Eigen::MatrixXf m = Eigen::MatrixXf::Random(7, 5);
    const auto seen = coxlmm::view(m.block(1, 2, 4, 3));
    CHECK(seen.data == &m(1, 2));
    CHECK(seen.rows == 4);
    CHECK(seen.cols == 3);
    CHECK(&seen(3, 1) == &m(4, 3));
    CHECK(&seen.transposed()(1, 3) == &m(4, 3));
}

TEST_CASE("a matrix owns, moves and copies", "[views]") {
    matrix<float> a(3, 4);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
    for (std::int64_t i = 0; i < a.size(); ++i) CHECK(a.data()[i] == 0);
    a(2, 3) = 7;
    matrix<float> b = a;
    b(2, 3) = 8;
    CHECK(a(2, 3) == 7);
    const float* memory = a.data();
    const matrix<float> c = std::move(a);
    CHECK(c.data() == memory);
    CHECK(c.rows() == 3);
    b = c;
    CHECK(b(2, 3) == 7);
    CHECK_THROWS_AS(matrix<double>(std::int64_t{1} << 40, std::int64_t{1} << 40), std::bad_alloc);
}
