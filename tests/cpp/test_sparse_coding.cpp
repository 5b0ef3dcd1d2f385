// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/sparse_coding.hpp>

#include <catch2/catch.hpp>
#include <cstdint>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::sparse_encode;
using coxlmm::stop_reason;
using namespace support;

TEMPLATE_TEST_CASE("codes satisfy the optimality conditions", "[sparse_encode]", float, double) {
    const double l1 = GENERATE(0.0, 0.3, 3.0);
    const std::int64_t n_atoms = GENERATE(1, 7, 33);
    const double offset = GENERATE(0.0, 4.0);
    const planted<TestType> problem(75, 29, n_atoms, 20, 0.3, offset);
    const double tol = sizeof(TestType) == 4 ? 1e-6 : 1e-10;
    const auto encoded = sparse_encode(problem.x, problem.dictionary, {.l1 = l1, .tol = tol});
    CHECK(encoded.stop == stop_reason::converged);
    CHECK(encoded.kkt_residual <= tol);
    CHECK(kkt_of_codes(problem.x, encoded.codes, problem.dictionary, l1) <= 3 * tol);
    CHECK(encoded.objective ==
          Approx(objective(problem.x, encoded.codes, problem.dictionary, l1)).epsilon(tolerance<TestType>));
    for (std::int64_t i = 0; i < encoded.codes.size(); ++i) REQUIRE(encoded.codes.data()[i] >= 0);
}

TEMPLATE_TEST_CASE("orthonormal atoms have a solution in closed form", "[sparse_encode]", float, double) {
    matrix<TestType> identity(6, 6);
    for (std::int64_t k = 0; k < 6; ++k) identity(k, k) = 1;
    const auto x = gaussian<TestType>(40, 6, 21);
    const auto encoded = sparse_encode(x, identity, {.l1 = 0.8});
    for (std::int64_t i = 0; i < 40; ++i) {
        for (std::int64_t k = 0; k < 6; ++k) {
            const double expected = std::max(0.0, static_cast<double>(x(i, k)) - 0.4);
            CHECK(encoded.codes(i, k) == Approx(expected).margin(1e-6));
        }
    }
}

TEMPLATE_TEST_CASE("nearly parallel atoms are solved too", "[sparse_encode]", float, double) {
    // Atoms that share a large mean: their Gram matrix is nearly singular, and coordinate descent alone would crawl.
    auto dictionary = gaussian<TestType>(20, 50, 22);
    for (std::int64_t i = 0; i < dictionary.size(); ++i) dictionary.data()[i] += 20;
    scale_rows_to_one(dictionary);
    auto x = gaussian<TestType>(40, 50, 23);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] += 20;
    const double tol = sizeof(TestType) == 4 ? 1e-6 : 1e-9;
    const auto encoded = sparse_encode(x, dictionary, {.l1 = 0.01, .tol = tol});
    CHECK(encoded.stop == stop_reason::converged);
    CHECK(kkt_of_codes(x, encoded.codes, dictionary, 0.01) <= 3 * tol);
}

TEMPLATE_TEST_CASE("a sample's code does not depend on its company", "[sparse_encode]", float, double) {
    const planted<TestType> problem(131, 45, 9, 24, 0.2);
    const auto together = sparse_encode(problem.x, problem.dictionary, {.l1 = 0.4});
    for (const std::int64_t i : {0, 1, 63, 64, 130}) {
        const coxlmm::matrix_ref<const TestType> alone(problem.x.row(i), 1, 45);
        const auto single = sparse_encode(alone, problem.dictionary, {.l1 = 0.4});
        CHECK(std::equal(single.codes.row(0), single.codes.row(0) + 9, together.codes.row(i)));
    }
}

TEMPLATE_TEST_CASE("the order of samples and the number of threads change no bit", "[sparse_encode]", float, double) {
    const planted<TestType> problem(300, 45, 9, 25, 0.2);
    const auto straight = sparse_encode(problem.x, problem.dictionary, {.l1 = 0.4, .n_threads = 1});
    // Upside down through a negative stride.
    const coxlmm::matrix_ref<const TestType> reversed(problem.x.row(299), 300, 45, -45, 1);
    const auto backwards = sparse_encode(reversed, problem.dictionary, {.l1 = 0.4, .n_threads = 5});
    for (std::int64_t i = 0; i < 300; ++i) {
        REQUIRE(std::equal(straight.codes.row(i), straight.codes.row(i) + 9, backwards.codes.row(299 - i)));
    }
}

TEMPLATE_TEST_CASE("the residual does not change with the scale", "[sparse_encode]", float, double) {
    const planted<TestType> problem(50, 20, 8, 26, 0.2);
    // One sweep leaves a residual to compare. Powers of two scale without rounding.
    const auto rough = sparse_encode(problem.x, problem.dictionary, {.l1 = 0.5, .tol = 1e-30, .max_iter = 1});
    CHECK(rough.stop == stop_reason::max_iter);
    CHECK(rough.kkt_residual > 1e-9);
    auto x = problem.x;
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] *= 1024;
    const auto scaled = sparse_encode(x, problem.dictionary, {.l1 = 512, .tol = 1e-30, .max_iter = 1});
    CHECK(scaled.kkt_residual == Approx(rough.kkt_residual).epsilon(1e-10));
    CHECK(scaled.objective == Approx(1024.0 * 1024.0 * rough.objective).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("zero atoms and zero samples get zero codes", "[sparse_encode]", float, double) {
    planted<TestType> problem(20, 10, 4, 27, 0.1);
    for (std::int64_t d = 0; d < 10; ++d) {
        problem.dictionary(2, d) = 0;
        problem.x(7, d) = 0;
    }
    const auto encoded = sparse_encode(problem.x, problem.dictionary, {.l1 = 0});
    CHECK(encoded.stop == stop_reason::converged);
    for (std::int64_t i = 0; i < 20; ++i) CHECK(encoded.codes(i, 2) == 0);
    for (std::int64_t k = 0; k < 4; ++k) CHECK(encoded.codes(7, k) == 0);
}

TEMPLATE_TEST_CASE("copies of an atom share what one would get", "[sparse_encode]", float, double) {
    const planted<TestType> problem(30, 15, 3, 28, 0.1);
    matrix<TestType> doubled(6, 15);
    for (std::int64_t k = 0; k < 6; ++k) std::copy_n(problem.dictionary.row(k % 3), 15, doubled.row(k));
    const auto once = sparse_encode(problem.x, problem.dictionary, {.l1 = 0.2, .tol = 1e-7});
    const auto twice = sparse_encode(problem.x, doubled, {.l1 = 0.2, .tol = 1e-7});
    CHECK(twice.objective == Approx(once.objective).epsilon(1e-5));
    for (std::int64_t i = 0; i < 30; ++i) {
        for (std::int64_t k = 0; k < 3; ++k) {
            CHECK(twice.codes(i, k) + twice.codes(i, k + 3) == Approx(once.codes(i, k)).margin(1e-4));
        }
    }
}
