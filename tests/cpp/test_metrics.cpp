// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/metrics.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <vector>

#include "support.hpp"

using Catch::Matchers::Contains;
using coxlmm::matrix;
using coxlmm::overlap;
using coxlmm::relative_error;
using namespace support;

using token_lists = std::vector<std::vector<std::int64_t>>;

TEST_CASE("overlap: nothing in common, everything, and a case by hand", "[metrics]") {
    CHECK(overlap(token_lists{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}) == 0);
    CHECK(overlap(token_lists{{3, 1, 2}, {2, 3, 1}, {1, 2, 3}}) == 1);
    // T_0 shares 1 of 4 with T_1 and 2 of 4 with T_2; T_1 1 of 2 and 0; T_2 2 of 3 and 0.
    const double by_hand = ((1.0 / 4 + 2.0 / 4) / 2 + (1.0 / 2 + 0) / 2 + (2.0 / 3 + 0) / 2) / 3;
    CHECK(overlap(token_lists{{1, 2, 3, 4}, {4, 9}, {1, 2, 8}}) == Approx(by_hand));
    // The words are a set.
    CHECK(overlap(token_lists{{1, 2, 2}, {2, 3}}) == Approx(0.5));
}

TEST_CASE("overlap of a matrix of tokens is that of its rows, in any order", "[metrics]") {
    coxlmm::random_source random(1);
    matrix<std::int64_t> tokens(9, 5);
    token_lists rows(9);
    for (std::int64_t k = 0; k < 9; ++k) {
        for (std::int64_t r = 0; r < 5; ++r) {
            tokens(k, r) = 10 * r + random.below(4);
            rows[static_cast<std::size_t>(k)].push_back(tokens(k, r));
        }
    }
    const double value = overlap(tokens);
    double by_pairs = 0;
    for (const auto& a : rows) {
        for (const auto& b : rows) {
            if (&a != &b)
                by_pairs += static_cast<double>(
                    std::count_if(a.begin(), a.end(), [&](std::int64_t t) { return std::count(b.begin(), b.end(), t); }));
        }
    }
    CHECK(value == Approx(by_pairs / 5 / 8 / 9));
    CHECK(value > 0);
    CHECK(value < 1);
    std::reverse(rows.begin(), rows.end());
    CHECK(overlap(rows) == Approx(value));
}

TEST_CASE("overlap refuses what it is not defined for", "[metrics][misuse]") {
    CHECK_THAT(complaint([] { overlap(token_lists{{1, 2}}); }), Contains("at least 2") && Contains("got 1"));
    CHECK_THAT(complaint([] { overlap(token_lists{{1, 2}, {}}); }), Contains("concept 1 has no tokens"));
}

TEMPLATE_TEST_CASE("relative error: 0 for exact factors, 1 for none, and the squares in between", "[metrics]", float,
                   double) {
    const planted<TestType> exact(130, 37, 6, 2, 0.0);
    CHECK(relative_error(exact.x, exact.codes, exact.dictionary) < (sizeof(TestType) == 4 ? 1e-12 : 1e-28));
    CHECK(relative_error(exact.x, matrix<TestType>(130, 6), exact.dictionary) == Approx(1));

    const planted<TestType> noisy(130, 37, 6, 3, 0.5, 1.0);
    double squares = 0;
    for (std::int64_t i = 0; i < 130; ++i) squares += row_norm(noisy.x, i) * row_norm(noisy.x, i);
    const double value = relative_error(noisy.x, noisy.codes, noisy.dictionary, {.n_threads = 1});
    CHECK(value == Approx(objective(noisy.x, noisy.codes, noisy.dictionary, 0) / squares).epsilon(tolerance<TestType>));
    CHECK(relative_error(noisy.x, noisy.codes, noisy.dictionary, {.n_threads = 4}) == value);

    // Scaling X and the codes together changes nothing; by a power of two, not even a bit.
    auto x = noisy.x;
    auto codes = noisy.codes;
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] *= 8;
    for (std::int64_t i = 0; i < codes.size(); ++i) codes.data()[i] *= 8;
    CHECK(relative_error(x, codes, noisy.dictionary) == value);
}

TEST_CASE("relative error refuses what makes no sense, with the numbers", "[metrics][misuse]") {
    const auto x = gaussian<double>(6, 5, 4);
    auto codes = gaussian<double>(6, 2, 5);
    const auto dictionary = gaussian<double>(2, 5, 6);
    CHECK_THAT(complaint([&] { relative_error(x, gaussian<double>(5, 2, 7), dictionary); }),
               Contains("6 x 5") && Contains("5 x 2"));
    CHECK_THAT(complaint([&] { relative_error(x, codes, gaussian<double>(2, 4, 7)); }), Contains("2 x 4"));
    CHECK_THAT(complaint([&] { relative_error(x, codes, gaussian<double>(3, 5, 7)); }), Contains("3 x 5"));
    CHECK_THAT(complaint([&] { relative_error(matrix<double>(6, 5), codes, dictionary); }), Contains("X is zero"));
    codes(4, 1) = std::numeric_limits<double>::quiet_NaN();
    CHECK_THAT(complaint([&] { relative_error(x, codes, dictionary); }), Contains("row 4, column 1"));
}
