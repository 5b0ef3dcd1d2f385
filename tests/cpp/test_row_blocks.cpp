// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <coxlmm/core/half.hpp>
#include <coxlmm/core/row_blocks.hpp>
#include <coxlmm/grounding.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <coxlmm/sparse_coding.hpp>

#include "support.hpp"

using coxlmm::as_row_blocks;
using coxlmm::matrix;
using coxlmm::matrix_ref;
using coxlmm::row_blocks;
using Catch::Contains;
using namespace support;

namespace {

template <class S>
matrix<S> stored_as(const matrix<float>& m) {
    matrix<S> stored(m.rows(), m.cols());
    for (std::int64_t i = 0; i < m.size(); ++i) stored.data()[i] = S(m.data()[i]);
    return stored;
}

template <class S>
matrix<float> upcast(const matrix<S>& m) {
    matrix<float> floats(m.rows(), m.cols());
    for (std::int64_t i = 0; i < m.size(); ++i) floats.data()[i] = static_cast<float>(m.data()[i]);
    return floats;
}

/// The same rows in blocks of 1, 2, 3, ... of them.
template <class S>
auto in_blocks(const matrix<S>& m) {
    row_blocks<coxlmm::compute_t<matrix<S>>> blocks;
    for (std::int64_t first = 0, size = 1; first < m.rows(); first += size, ++size) {
        blocks.append(matrix_ref<const S>(m.row(first), std::min(size, m.rows() - first), m.cols()));
    }
    return blocks;
}

}  // namespace

TEMPLATE_TEST_CASE("rows are the same in one block or in many", "[row_blocks]", float, double, coxlmm::half, coxlmm::bfloat16) {
    const auto m = stored_as<TestType>(gaussian<float>(30, 5, 1));
    const auto blocks = in_blocks(m);
    REQUIRE(blocks.rows() == 30);
    REQUIRE(blocks.cols() == 5);
    for (std::int64_t i = 0; i < 30; ++i) {
        for (std::int64_t j = 0; j < 5; ++j) REQUIRE(blocks(i, j) == m(i, j));
    }
    for (const std::int64_t step : {1, 2, 3, 7, 29, 40}) {
        const auto some = blocks.every(step);
        REQUIRE(some.rows() == (30 + step - 1) / step);
        for (std::int64_t i = 0; i < some.rows(); ++i) REQUIRE(some(i, 3) == m(i * step, 3));
    }
}

TEMPLATE_TEST_CASE("what is stored in blocks or in 16 bits is computed as its float copy is, to the bit", "[row_blocks]", float,
                   coxlmm::half, coxlmm::bfloat16) {
    // 48 floats are whole cache lines, which are read in place; 40 are not.
    const std::int64_t n_features = GENERATE(40, 48);
    const auto stored = stored_as<TestType>(planted<float>(200, n_features, 5, 3, 0.1).x);
    const auto floats = upcast(stored);
    const coxlmm::semi_nmf_options options{.n_components = 5, .l1 = 0.3, .max_iter = 15};
    const auto expected = coxlmm::semi_nmf(floats, options);
    for (const auto& fit : {coxlmm::semi_nmf(stored, options), coxlmm::semi_nmf(in_blocks(stored), options)}) {
        REQUIRE(same_bits(fit.codes, expected.codes));
        REQUIRE(same_bits(fit.dictionary, expected.dictionary));
    }
    REQUIRE(same_bits(coxlmm::sparse_encode(in_blocks(stored), expected.dictionary).codes,
                      coxlmm::sparse_encode(floats, expected.dictionary).codes));
    REQUIRE(same_bits(coxlmm::ground_text(expected.dictionary, in_blocks(stored), 3).tokens,
                      coxlmm::ground_text(expected.dictionary, floats, 3).tokens));
    REQUIRE(same_bits(coxlmm::most_activating_concepts(stored, 2).values, coxlmm::most_activating_concepts(floats, 2).values));
}

TEST_CASE("blocks that do not fit together are refused, and a bad value is found in the right row", "[row_blocks]") {
    const auto a = gaussian<float>(4, 3, 1);
    auto b = gaussian<float>(5, 3, 2);
    row_blocks<float> blocks(a);
    REQUIRE_THAT(complaint([&] { blocks.append(gaussian<float>(2, 4, 3)); }),
                 Contains("block 1 has 4 columns but those above it have 3"));
    REQUIRE_THAT(complaint([&] { blocks.append(matrix_ref<const float>(nullptr, 2, 3)); }), Contains("block 1") && Contains("null"));
    REQUIRE_THAT(complaint([&] { coxlmm::semi_nmf(row_blocks<float>(), {.n_components = 1}); }), Contains("0 x 0"));
    b(2, 1) = INFINITY;
    blocks.append(b);
    REQUIRE_THAT(complaint([&] { coxlmm::semi_nmf(blocks, {.n_components = 2}); }), Contains("row 6, column 1"));
    auto h = stored_as<coxlmm::half>(a);
    h(3, 2) = coxlmm::half(1e6F);
    REQUIRE_THAT(complaint([&] { coxlmm::semi_nmf(h, {.n_components = 2}); }), Contains("row 3, column 2"));
}
