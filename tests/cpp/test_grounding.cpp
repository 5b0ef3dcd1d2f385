// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/grounding.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <numeric>
#include <vector>

#include "support.hpp"

using coxlmm::matrix;
using namespace support;

namespace {

/// Indices of the `top` largest scores, the lower index first among equals.
std::vector<std::int64_t> sorted_by(const std::vector<double>& scores, std::size_t top) {
    std::vector<std::int64_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    order.resize(top);
    return order;
}

}  // namespace

TEMPLATE_TEST_CASE("the tokens are those of the largest logits", "[grounding]", float, double) {
    const std::int64_t vocabulary = GENERATE(1, 50, 777);
    const auto dictionary = gaussian<TestType>(5, 40, 30);
    const auto unembedding = gaussian<TestType>(vocabulary, 40, 31);
    const std::int64_t top = std::min<std::int64_t>(vocabulary, 12);
    const auto grounded = coxlmm::ground_text(dictionary, unembedding, top);
    for (std::int64_t k = 0; k < 5; ++k) {
        std::vector<double> logits(static_cast<std::size_t>(vocabulary));
        for (std::int64_t w = 0; w < vocabulary; ++w) {
            for (std::int64_t d = 0; d < 40; ++d) {
                logits[static_cast<std::size_t>(w)] += static_cast<double>(dictionary(k, d)) * static_cast<double>(unembedding(w, d));
            }
        }
        const auto expected = sorted_by(logits, static_cast<std::size_t>(top));
        for (std::int64_t r = 0; r < top; ++r) {
            CHECK(grounded.tokens(k, r) == expected[static_cast<std::size_t>(r)]);
            CHECK(grounded.scores(k, r) == Approx(logits[static_cast<std::size_t>(grounded.tokens(k, r))]).margin(1e-4));
        }
    }
}

TEMPLATE_TEST_CASE("equal tokens come in their order, on any number of threads", "[grounding]", float, double) {
    // Every row of the vocabulary occurs many times over, far apart.
    const auto few = gaussian<TestType>(3, 16, 32);
    matrix<TestType> unembedding(1500, 16);
    for (std::int64_t w = 0; w < 1500; ++w) std::copy_n(few.row(w % 3), 16, unembedding.row(w));
    const auto dictionary = gaussian<TestType>(4, 16, 33);
    const auto one = coxlmm::ground_text(dictionary, unembedding, 600, {.n_threads = 1});
    for (std::int64_t k = 0; k < 4; ++k) {
        for (std::int64_t r = 1; r < 500; ++r) CHECK(one.tokens(k, r) == one.tokens(k, r - 1) + 3);
        for (std::int64_t r = 1; r < 600; ++r) CHECK(one.scores(k, r) <= one.scores(k, r - 1));
    }
    const auto many = coxlmm::ground_text(dictionary, unembedding, 600, {.n_threads = 7});
    CHECK(same_bits(one.tokens, many.tokens));
    CHECK(same_bits(one.scores, many.scores));
}

TEST_CASE("rankings of codes, ties to the lower index", "[grounding]") {
    matrix<double> codes(4, 3);
    const double values[4][3] = {{0, 2, 1}, {3, 2, 0}, {3, 0, 0}, {1, 5, 1}};
    for (std::int64_t i = 0; i < 4; ++i) std::copy_n(values[i], 3, codes.row(i));

    const auto samples = coxlmm::max_activating(codes, 3);
    const std::int64_t expected_samples[3][3] = {{1, 2, 3}, {3, 0, 1}, {0, 3, 1}};
    for (std::int64_t k = 0; k < 3; ++k) {
        for (std::int64_t r = 0; r < 3; ++r) {
            CHECK(samples.indices(k, r) == expected_samples[k][r]);
            CHECK(samples.values(k, r) == codes(samples.indices(k, r), k));
        }
    }

    const auto concepts = coxlmm::most_activating_concepts(codes, 2);
    const std::int64_t expected_concepts[4][2] = {{1, 2}, {0, 1}, {0, 1}, {1, 0}};
    for (std::int64_t i = 0; i < 4; ++i) {
        for (std::int64_t r = 0; r < 2; ++r) {
            CHECK(concepts.indices(i, r) == expected_concepts[i][r]);
            CHECK(concepts.values(i, r) == codes(i, concepts.indices(i, r)));
        }
    }
}

TEMPLATE_TEST_CASE("rankings agree with a full sort", "[grounding]", float, double) {
    auto codes = gaussian<TestType>(200, 11, 34);
    for (std::int64_t i = 0; i < codes.size(); ++i) codes.data()[i] = std::round(std::max(codes.data()[i], TestType{}) * 4);
    const auto samples = coxlmm::max_activating(codes, 200);
    for (std::int64_t k = 0; k < 11; ++k) {
        std::vector<double> column;
        for (std::int64_t i = 0; i < 200; ++i) column.push_back(static_cast<double>(codes(i, k)));
        const auto expected = sorted_by(column, 200);
        for (std::int64_t r = 0; r < 200; ++r) REQUIRE(samples.indices(k, r) == expected[static_cast<std::size_t>(r)]);
    }
}
