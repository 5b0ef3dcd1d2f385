// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <coxlmm/online_semi_nmf.hpp>
#include <coxlmm/sparse_coding.hpp>

#include "support.hpp"

using Catch::Contains;
using coxlmm::matrix;
using coxlmm::matrix_ref;
using namespace support;

TEMPLATE_TEST_CASE("batches lead to nearly the objective of all samples at once, and more rounds closer", "[online]", float, double) {
    const auto x = planted<TestType>(600, 40, 5, 31, 0.1).x;
    const coxlmm::semi_nmf_options options{.n_components = 5, .l1 = 0.2};
    const double best = coxlmm::semi_nmf(x, options).objective;
    coxlmm::online_semi_nmf<TestType> model(options);
    const auto round = [&] {
        for (std::int64_t first = 0; first < 600; first += 100) {
            model.partial_fit(matrix_ref<const TestType>(x.row(first), 100, 40));
        }
        return coxlmm::sparse_encode(x, model.dictionary(), {.l1 = 0.2}).objective;
    };
    const double after_one = round();
    REQUIRE(after_one < 1.1 * best);
    double last = after_one;
    for (int i = 0; i < 4; ++i) last = round();
    REQUIRE(last < after_one);
    REQUIRE(last < 1.01 * best);
    REQUIRE(model.n_samples() == 3000);
    REQUIRE(model.n_batches() == 30);
    for (std::int64_t k = 0; k < 5; ++k) REQUIRE(row_norm(model.dictionary(), k) <= 1 + 1e-5);
}

TEST_CASE("a batch that is refused changes nothing", "[online]") {
    const auto x = planted<float>(100, 20, 3, 32, 0.1).x;
    coxlmm::online_semi_nmf<float> model({.n_components = 3, .l1 = 0.2});
    REQUIRE_THAT(complaint([&] { model.partial_fit(matrix_ref<const float>(x.data(), 2, 20)); }), Contains("only 2 samples"));
    model.partial_fit(x);
    const auto before = model.dictionary();
    REQUIRE_THAT(complaint([&] { model.partial_fit(gaussian<float>(4, 21, 1)); }), Contains("21") && Contains("20"));
    auto bad = gaussian<float>(4, 20, 1);
    bad(2, 7) = NAN;
    REQUIRE_THAT(complaint([&] { model.partial_fit(bad); }), Contains("row 2, column 7"));
    REQUIRE(same_bits(model.dictionary(), before));
    REQUIRE(model.n_batches() == 1);
    // A batch smaller than the dictionary is fine once there is one.
    model.partial_fit(matrix_ref<const float>(x.data(), 2, 20));
    REQUIRE(model.n_samples() == 102);
}

TEST_CASE("an encoder gives the bits of sparse_encode, one sample at a time", "[sparse_coding]") {
    const auto data = planted<float>(70, 50, 6, 33, 0.1);
    const coxlmm::sparse_encoder encoder(data.dictionary, {.l1 = 0.2});
    REQUIRE(encoder.n_components() == 6);
    REQUIRE(encoder.n_features() == 50);
    const auto all = coxlmm::sparse_encode(data.x, data.dictionary, {.l1 = 0.2}).codes;
    for (std::int64_t i = 0; i < 70; ++i) {
        const auto one = encoder.encode(matrix_ref<const float>(data.x.row(i), 1, 50)).codes;
        REQUIRE(std::equal(one.data(), one.data() + 6, all.row(i)));
    }
    REQUIRE_THAT(complaint([&] { encoder.encode(gaussian<float>(2, 51, 1)); }), Contains("51") && Contains("50"));
}
