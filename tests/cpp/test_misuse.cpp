// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/coxlmm.hpp>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support.hpp"

using Catch::Matchers::Contains;
using coxlmm::matrix;
using coxlmm::matrix_ref;
using namespace support;

TEST_CASE("semi_nmf refuses what makes no sense, with the numbers", "[misuse]") {
    const auto x = gaussian<double>(12, 5, 50);
    const auto fit = [&](const coxlmm::semi_nmf_options& options) { return complaint([&] { coxlmm::semi_nmf(x, options); }); };
    CHECK_THAT(fit({}), Contains("n_components is 0"));
    CHECK_THAT(fit({.n_components = -3}), Contains("n_components is -3"));
    CHECK_THAT(fit({.n_components = 13}), Contains("n_components is 13") && Contains("12 samples") && Contains("12 x 5"));
    CHECK_THAT(fit({.n_components = 2, .l1 = -0.5}), Contains("l1 is -0.5"));
    CHECK_THAT(fit({.n_components = 2, .l1 = std::numeric_limits<double>::quiet_NaN()}), Contains("l1 is nan"));
    CHECK_THAT(fit({.n_components = 2, .l1 = std::numeric_limits<double>::infinity()}), Contains("l1 is inf"));
    CHECK_THAT(fit({.n_components = 2, .n_init = 0}), Contains("n_init is 0"));
    CHECK_THAT(fit({.n_components = 2, .max_iter = 0}), Contains("max_iter is 0"));
    CHECK_THAT(fit({.n_components = 2, .tol = -1}), Contains("tol is -1"));
    CHECK_THAT(fit({.n_components = 2, .n_threads = -2}), Contains("n_threads is -2"));
    const matrix<double> atoms(2, 4);
    CHECK_THAT(fit({.n_components = 2, .initial = coxlmm::view(atoms)}), Contains("2 x 4") && Contains("2 x 5"));
    CHECK_THAT(complaint([] { coxlmm::semi_nmf(matrix<float>(0, 5), {.n_components = 1}); }), Contains("0 x 5"));
    CHECK_THAT(complaint([] { coxlmm::semi_nmf(matrix<float>(5, 0), {.n_components = 1}); }), Contains("5 x 0"));
    CHECK_THAT(complaint([] { coxlmm::semi_nmf(matrix_ref<const float>(nullptr, 5, 2), {.n_components = 1}); }),
               Contains("null"));
}

TEMPLATE_TEST_CASE("values that are not finite are named by row and column", "[misuse]", float, double) {
    const TestType bad = GENERATE(std::numeric_limits<TestType>::quiet_NaN(), std::numeric_limits<TestType>::infinity(),
                                  -std::numeric_limits<TestType>::infinity());
    auto x = gaussian<TestType>(200, 70, 51);
    x(199, 0) = bad;
    x(131, 69) = bad;
    x(131, 66) = bad;
    // The first one in reading order, whichever thread meets one first.
    for (const int threads : {1, 4}) {
        CHECK_THAT(complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2, .n_threads = threads}); }),
                   Contains("row 131, column 66"));
    }
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, gaussian<TestType>(2, 70, 52)); }), Contains("row 131, column 66"));
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(gaussian<TestType>(2, 70, 52), x); }), Contains("row 131, column 66"));
    CHECK_THAT(complaint([&] { coxlmm::ground_text(x, gaussian<TestType>(9, 70, 52), 3); }), Contains("row 131, column 66"));
    CHECK_THAT(complaint([&] { coxlmm::ground_text(gaussian<TestType>(9, 70, 52), x, 3); }), Contains("row 131, column 66"));
    CHECK_THAT(complaint([&] { coxlmm::max_activating(x, 3); }), Contains("row 131, column 66"));
    CHECK_THAT(complaint([&] { coxlmm::most_activating_concepts(x, 3); }), Contains("row 131, column 66"));
    auto atoms = gaussian<TestType>(3, 70, 53);
    atoms(1, 4) = bad;
    const auto good = gaussian<TestType>(20, 70, 54);
    CHECK_THAT(complaint([&] { coxlmm::semi_nmf(good, {.n_components = 3, .initial = coxlmm::view(atoms)}); }),
               Contains("row 1, column 4"));
}

TEST_CASE("data whose squares do not fit the precision are refused, not fitted to nonsense", "[misuse]") {
    auto x = gaussian<float>(200, 300, 54);
    const auto dictionary = gaussian<float>(3, 300, 55);
    const auto scaled = [&](float factor) {
        matrix<float> y = x;
        for (std::int64_t i = 0; i < y.size(); ++i) y.data()[i] *= factor;
        return y;
    };
    for (const float factor : {1e18F, 3e18F, 1e25F}) {
        CHECK_THAT(complaint([&] { coxlmm::semi_nmf(scaled(factor), {.n_components = 4}); }),
                   Contains("too large to square in float") && Contains("squared norm is"));
        CHECK_THAT(complaint([&] { coxlmm::sparse_encode(scaled(factor), dictionary); }), Contains("too large to square"));
        CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, scaled(factor)); }), Contains("the dictionary has values too large"));
    }
    for (const float factor : {1e-22F, 1e-30F}) {
        CHECK_THAT(complaint([&] { coxlmm::semi_nmf(scaled(factor), {.n_components = 4}); }),
                   Contains("too small to square in float"));
        CHECK_THAT(complaint([&] { coxlmm::sparse_encode(scaled(factor), dictionary); }), Contains("too small to square"));
    }
    // What is not refused is fitted as well as at any other scale.
    const auto reference = coxlmm::semi_nmf(x, {.n_components = 4, .l1 = 1, .n_init = 1});
    for (const float factor : {0x1p50F, 0x1p-38F}) {
        const auto fit = coxlmm::semi_nmf(scaled(factor), {.n_components = 4, .l1 = static_cast<double>(factor), .n_init = 1});
        CHECK(fit.objective == Approx(reference.objective * std::pow(static_cast<double>(factor), 2)).epsilon(1e-4));
    }
}

TEST_CASE("values whose squares overflow are refused with their row", "[misuse]") {
    auto x = gaussian<float>(20, 8, 55);
    x(13, 2) = 1e30F;
    CHECK_THAT(complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2}); }), Contains("row 13"));
}

TEST_CASE("sparse_encode refuses what makes no sense, with the numbers", "[misuse]") {
    const auto x = gaussian<float>(12, 5, 56);
    const auto u = gaussian<float>(3, 5, 57);
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, gaussian<float>(3, 6, 58)); }),
               Contains("12 x 5") && Contains("3 x 6"));
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, matrix<float>(0, 5)); }), Contains("0 x 5"));
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, u, {.l1 = -2}); }), Contains("l1 is -2"));
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, u, {.tol = 0}); }), Contains("tol is 0"));
    CHECK_THAT(complaint([&] { coxlmm::sparse_encode(x, u, {.max_iter = 0}); }), Contains("max_iter is 0"));
}

TEST_CASE("grounding refuses what makes no sense, with the numbers", "[misuse]") {
    const auto u = gaussian<float>(3, 5, 59);
    const auto w = gaussian<float>(20, 5, 60);
    CHECK_THAT(complaint([&] { coxlmm::ground_text(u, w, 0); }), Contains("top is 0") && Contains("20"));
    CHECK_THAT(complaint([&] { coxlmm::ground_text(u, w, 21); }), Contains("top is 21") && Contains("20"));
    CHECK_THAT(complaint([&] { coxlmm::ground_text(u, gaussian<float>(20, 4, 61), 1); }), Contains("3 x 5") && Contains("20 x 4"));
    CHECK_THAT(complaint([&] { coxlmm::max_activating(w, 21); }), Contains("n is 21") && Contains("20"));
    CHECK_THAT(complaint([&] { coxlmm::max_activating(w, 0); }), Contains("n is 0"));
    CHECK_THAT(complaint([&] { coxlmm::most_activating_concepts(w, 6); }), Contains("r is 6") && Contains("5"));
}

TEST_CASE("a start in double that float cannot hold is refused with its place", "[misuse]") {
    const auto x = support::gaussian<float>(20, 3, 1);
    auto start = support::gaussian<double>(2, 3, 2);
    start(1, 2) = 1e300;
    const auto words = support::complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2, .initial = coxlmm::view(start)}); });
    CHECK_THAT(words, Catch::Contains("1e+300") && Catch::Contains("row 1, column 2"));
    const matrix_ref<const double> nowhere(nullptr, 2, 3);
    CHECK_THAT(support::complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2, .initial = nowhere}); }), Catch::Contains("null"));
    coxlmm::row_blocks<float> blocks;
    CHECK_THAT(support::complaint([&] { blocks.append(matrix_ref<const float>(nullptr, 2, 7)); }), Catch::Contains("null"));
    CHECK(blocks.cols() == 0);
}
