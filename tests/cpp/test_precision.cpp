// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/semi_nmf.hpp>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::semi_nmf;
using namespace support;

// States of language models are far from centred: a few massive features hold nearly all of |x|^2, or every feature has
// a mean many times its spread. In float, eps |x|^2 is then more than an iteration gains.
namespace {

constexpr std::int64_t n_samples = 300;
constexpr std::int64_t n_features = 200;
constexpr std::int64_t n_atoms = 7;

/// A planted problem in which the features [0, massive) lie around 1000.
matrix<double> uncentred(std::uint64_t seed, double offset, std::int64_t massive) {
    planted<double> problem(n_samples, n_features, n_atoms, seed, 0.3, offset);
    coxlmm::random_source random(seed + 100);
    for (std::int64_t i = 0; i < n_samples; ++i) {
        for (std::int64_t d = 0; d < massive; ++d) problem.x(i, d) += 1000 + 50 * random.normal();
    }
    // Both precisions get the same numbers.
    for (std::int64_t i = 0; i < problem.x.size(); ++i) {
        problem.x.data()[i] = static_cast<double>(static_cast<float>(problem.x.data()[i]));
    }
    return problem.x;
}

void check_that_float_follows_double(const matrix<double>& x, std::uint64_t seed) {
    matrix<float> narrow_x(x.rows(), x.cols());
    for (std::int64_t i = 0; i < x.size(); ++i) narrow_x.data()[i] = static_cast<float>(x.data()[i]);
    // Both from the same atoms: the problem has many minima, and which one is reached is not the question here.
    auto start = gaussian<double>(n_atoms, x.cols(), seed + 200);
    for (std::int64_t k = 0; k < n_atoms; ++k) {
        for (std::int64_t d = 0; d < x.cols(); ++d) start(k, d) = start(k, d) + x(k, d);
    }
    const coxlmm::semi_nmf_options options{
        .n_components = n_atoms, .l1 = 0.5, .initial = coxlmm::view(start), .max_iter = 3000, .tol = 1e-6};
    const auto wide = semi_nmf(x, options);
    const auto narrow = semi_nmf(narrow_x, options);
    CAPTURE(seed, wide.n_iter, narrow.n_iter, wide.objective, narrow.objective);
    CHECK(narrow.objective <= wide.objective * (1 + 1e-4));
    CHECK(narrow.stop == coxlmm::stop_reason::converged);
    for (std::size_t i = 1; i < narrow.history.size(); ++i) CHECK(narrow.history[i] <= narrow.history[i - 1]);
    // What the final, exact encoding still gains; noise of either sign was several times that.
    CHECK(narrow.objective <= narrow.history.back() * (1 + 1e-7));
    CHECK(narrow.objective >= narrow.history.back() * (1 - 1e-4));
    CHECK(narrow.objective == Approx(objective(narrow_x, narrow.codes, narrow.dictionary, 0.5)).epsilon(1e-6));
}

}  // namespace

TEST_CASE("float reaches the objective of double where a feature is massive", "[precision]") {
    const std::uint64_t seed = GENERATE(0U, 1U, 2U, 3U);
    check_that_float_follows_double(uncentred(seed, 0, 1), seed);
}

TEST_CASE("float reaches the objective of double where all features have a mean", "[precision]") {
    const std::uint64_t seed = GENERATE(0U, 1U, 2U, 3U);
    check_that_float_follows_double(uncentred(seed, 20, 0), seed);
}
