// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <catch2/catch.hpp>
#include <coxlmm/adapt/xtensor.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <vector>
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xfixed.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/misc/xmanipulation.hpp>
#include <xtensor/views/xstrided_view.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xmanipulation.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include "support.hpp"

using coxlmm::matrix_ref;
using namespace support;

namespace {

/// The view of `m` has the rows, the columns and, at every place, the very element of `m`.
template <class M>
void aliases(const M& m, std::int64_t rows, std::int64_t cols) {
    const auto seen = coxlmm::view(m);
    REQUIRE(seen.rows == rows);
    REQUIRE(seen.cols == cols);
    for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < cols; ++j) {
            REQUIRE(&seen(i, j) == &m(static_cast<std::size_t>(i), static_cast<std::size_t>(j)));
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("xtensor containers, adaptors and strided views are seen where they lie", "[adapt]", float, double) {
    using T = TestType;
    xt::xtensor<T, 2> fixed_rank({7, 5});
    xt::xarray<T> any_rank(std::vector<std::size_t>{7, 5});
    SECTION("containers of both orders") {
        aliases(fixed_rank, 7, 5);
        aliases(any_rank, 7, 5);
        aliases(xt::xtensor<T, 2, xt::layout_type::column_major>({7, 5}), 7, 5);
        aliases(xt::xarray<T, xt::layout_type::dynamic>({7, 5}, xt::layout_type::column_major), 7, 5);
        aliases(xt::xtensor_fixed<T, xt::xshape<7, 5>>(), 7, 5);
    }
    SECTION("memory of somebody else") {
        std::vector<T> memory(35);
        aliases(xt::adapt(memory, {7, 5}), 7, 5);
        const T* pointer = memory.data();
        aliases(xt::adapt(pointer, 35, xt::no_ownership(), std::array<std::size_t, 2>{7, 5}), 7, 5);
        const std::array<std::size_t, 2> shape{3, 2};
        const std::array<std::size_t, 2> strides{10, 3};
        aliases(xt::adapt(pointer, 6, xt::no_ownership(), shape, strides), 3, 2);
    }
    SECTION("views with an offset and steps") {
        aliases(xt::view(fixed_rank, xt::range(2, 6), xt::range(1, 5, 2)), 4, 2);
        aliases(xt::view(any_rank, xt::range(6, 0, -2), xt::all()), 3, 5);
        aliases(xt::strided_view(any_rank, {xt::range(1, 7, 3), xt::all()}), 2, 5);
        aliases(xt::view(xt::view(fixed_rank, xt::range(1, 6), xt::all()), xt::range(1, 4), xt::range(0, 2)), 3, 2);
        aliases(xt::transpose(fixed_rank), 5, 7);
        aliases(xt::transpose(any_rank), 5, 7);
        aliases(xt::flip(fixed_rank, 0), 7, 5);
    }
    SECTION("a slice of three dimensions, and one row or column, which xtensor gives the stride 0") {
        xt::xtensor<T, 3> cube({4, 3, 6});
        aliases(xt::view(cube, 2, xt::all(), xt::all()), 3, 6);
        aliases(xt::view(cube, xt::all(), 1, xt::range(2, 5)), 4, 3);
        aliases(xt::view(fixed_rank, xt::range(3, 4), xt::all()), 1, 5);
        aliases(xt::xtensor<T, 2>({7, 1}), 7, 1);
    }
}

TEST_CASE("16-bit elements of xtensor are seen as they are stored", "[adapt]") {
    aliases(xt::xtensor<coxlmm::half, 2>({3, 4}), 3, 4);
    aliases(xt::xarray<coxlmm::bfloat16>(std::vector<std::size_t>{3, 4}), 3, 4);
}

TEST_CASE("a fit of xtensor's matrices is that of the same numbers elsewhere, to the bit", "[adapt]") {
    const planted<float> problem(60, 17, 3, 5, 0.2);
    const coxlmm::semi_nmf_options options{.n_components = 3, .l1 = 0.3, .max_iter = 5};
    const auto expected = coxlmm::semi_nmf(problem.x, options);
    const xt::xtensor<float, 2, xt::layout_type::column_major> copied =
        xt::adapt(problem.x.data(), 60 * 17, xt::no_ownership(), std::array<std::size_t, 2>{60, 17});
    const auto fit = coxlmm::semi_nmf(copied, options);
    CHECK(same_bits(fit.codes, expected.codes));
    CHECK(same_bits(fit.dictionary, expected.dictionary));
}

TEST_CASE("an array of another rank than two is refused with its shape", "[adapt]") {
    const xt::xarray<double> cube(std::vector<std::size_t>{2, 3, 4});
    CHECK_THAT(complaint([&] { coxlmm::view(cube); }), Catch::Contains("3 dimensions") && Catch::Contains("(2, 3, 4)"));
    const xt::xarray<float> row(std::vector<std::size_t>{5});
    CHECK_THAT(complaint([&] { coxlmm::semi_nmf(row, {.n_components = 1}); }),
               Catch::Contains("1 dimensions") && Catch::Contains("(5)"));
    CHECK_THAT(complaint([] { coxlmm::view(xt::xarray<float>(1.0F)); }),
               Catch::Contains("0 dimensions") && Catch::Contains("()"));
}
