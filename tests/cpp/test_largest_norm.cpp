// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/largest_norm.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support.hpp"

using Catch::Matchers::Contains;
using coxlmm::largest_norm;
using coxlmm::matrix;
using namespace support;

TEMPLATE_TEST_CASE("the longest samples come first, at unit length", "[largest_norm]", float, double) {
    const auto x = gaussian<TestType>(150, 21, 1);
    const auto found = largest_norm(x, {.n_components = 12, .n_threads = 3});
    REQUIRE(found.indices.size() == 12);
    std::vector<double> norms;
    for (std::int64_t i = 0; i < 150; ++i) norms.push_back(row_norm(x, i));
    std::vector<double> sorted = norms;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    for (std::int64_t k = 0; k < 12; ++k) {
        const std::int64_t i = found.indices[static_cast<std::size_t>(k)];
        CHECK(row_norm(x, i) == sorted[static_cast<std::size_t>(k)]);
        CHECK(row_norm(found.dictionary, k) == Approx(1).epsilon(tolerance<TestType>));
        for (std::int64_t d = 0; d < 21; ++d) {
            CHECK(static_cast<double>(found.dictionary(k, d)) ==
                  Approx(static_cast<double>(x(i, d)) / norms[static_cast<std::size_t>(i)]).epsilon(tolerance<TestType>));
        }
    }
    CHECK(found.indices == largest_norm(x, {.n_components = 12, .n_threads = 1}).indices);
}

TEST_CASE("of equally long samples the lowest comes first", "[largest_norm]") {
    matrix<double> x(6, 2);
    for (std::int64_t i = 0; i < 6; ++i) x(i, i % 2) = i == 3 ? 9 : -2;
    CHECK(largest_norm(x, {.n_components = 4}).indices == std::vector<std::int64_t>{3, 0, 1, 2});
}

TEST_CASE("largest_norm refuses what makes no sense, with the numbers", "[largest_norm][misuse]") {
    auto x = gaussian<float>(7, 4, 2);
    const auto find = [&](std::int64_t k) { return complaint([&] { largest_norm(x, {.n_components = k}); }); };
    CHECK_THAT(find(0), Contains("n_components is 0"));
    CHECK_THAT(find(8), Contains("n_components is 8") && Contains("7 samples"));
    std::fill_n(x.row(5), 4, 0.0F);
    CHECK_THAT(find(7), Contains("n_components is 7") && Contains("only 6"));
    CHECK(largest_norm(x, {.n_components = 6}).indices.size() == 6);
    x(2, 1) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THAT(find(1), Contains("row 2, column 1"));
}
