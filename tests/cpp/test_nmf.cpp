// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <coxlmm/nmf.hpp>

#include "support.hpp"

using Catch::Contains;
using coxlmm::matrix;
using coxlmm::semi_nmf_init;
using namespace support;

namespace {

template <class T>
matrix<T> nonnegative(std::int64_t n_samples, std::int64_t n_features, std::int64_t n_atoms, std::uint64_t seed) {
    coxlmm::random_source random(seed);
    matrix<T> atoms(n_atoms, n_features);
    for (std::int64_t i = 0; i < atoms.size(); ++i) atoms.data()[i] = random.uniform() < 0.3 ? static_cast<T>(random.uniform()) : T{};
    matrix<T> x(n_samples, n_features);
    for (std::int64_t i = 0; i < n_samples; ++i) {
        for (std::int64_t d = 0; d < n_features; ++d) x(i, d) = static_cast<T>(0.02 * random.uniform());
        for (std::int64_t k = 0; k < n_atoms; ++k) {
            const auto c = static_cast<T>(random.uniform() < 0.3 ? random.uniform() : 0.0);
            for (std::int64_t d = 0; d < n_features; ++d) x(i, d) += c * atoms(k, d);
        }
    }
    return x;
}

/// The largest step, over the norm of X, that lowers the objective in one entry of an atom, all others fixed: the projected
/// gradient over the curvature. On the sphere steps outward do not count.
template <class T>
double atoms_from_stationary(const matrix<T>& x, const matrix<T>& codes, const matrix<T>& dictionary) {
    double worst = 0;
    double norm = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) norm += std::pow(row_norm(x, i), 2);
    for (std::int64_t k = 0; k < dictionary.rows(); ++k) {
        double used = 0;
        std::vector<double> descent(static_cast<std::size_t>(x.cols()));
        for (std::int64_t i = 0; i < x.rows(); ++i) {
            const auto code = static_cast<double>(codes(i, k));
            used += code * code;
            if (code == 0) continue;
            for (std::int64_t d = 0; d < x.cols(); ++d) {
                descent[static_cast<std::size_t>(d)] += code * residual(x, codes, dictionary, i, d);
            }
        }
        if (used == 0) continue;
        double along = 0;
        for (std::int64_t d = 0; d < x.cols(); ++d) along += descent[static_cast<std::size_t>(d)] * static_cast<double>(dictionary(k, d));
        const double held = row_norm(dictionary, k) > 1 - 1e-5 ? std::max(along, 0.0) : 0.0;
        double left = 0;
        for (std::int64_t d = 0; d < x.cols(); ++d) {
            const auto u = static_cast<double>(dictionary(k, d));
            const double g = descent[static_cast<std::size_t>(d)] - held * u;
            left += u > 0 || g > 0 ? g * g : 0.0;
        }
        worst = std::max(worst, std::sqrt(left / (used * norm)));
    }
    return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("NMF ends at a stationary point with nothing negative", "[nmf]", float, double) {
    const auto x = nonnegative<TestType>(120, 30, 4, GENERATE(1U, 2U, 3U));
    const auto init = GENERATE(semi_nmf_init::samples, semi_nmf_init::kmeans_plus_plus, semi_nmf_init::svd, semi_nmf_init::random);
    const double l1 = GENERATE(0.0, 0.05);
    const auto fit = coxlmm::nmf(x, {.n_components = 4, .l1 = l1, .init = init, .n_init = 2, .max_iter = 3000, .tol = 0});
    for (std::int64_t i = 0; i < fit.codes.size(); ++i) REQUIRE(fit.codes.data()[i] >= 0);
    for (std::int64_t i = 0; i < fit.dictionary.size(); ++i) REQUIRE(fit.dictionary.data()[i] >= 0);
    for (std::int64_t k = 0; k < 4; ++k) REQUIRE(row_norm(fit.dictionary, k) <= 1 + 1e-5);
    for (std::size_t i = 1; i < fit.history.size(); ++i) REQUIRE(fit.history[i] <= fit.history[i - 1]);
    REQUIRE(fit.objective == Approx(objective(x, fit.codes, fit.dictionary, l1)).epsilon(1e-5));
    REQUIRE(kkt_of_codes(x, fit.codes, fit.dictionary, l1) < (sizeof(TestType) == 4 ? 1e-5 : 1e-8));
    REQUIRE(atoms_from_stationary(x, fit.codes, fit.dictionary) < 2e-3);
}

TEST_CASE("NMF of a matrix with exact nonnegative factors finds an exact factorization", "[nmf]") {
    matrix<double> x(40, 12);
    coxlmm::random_source random(5);
    for (std::int64_t i = 0; i < 40; ++i) {
        for (std::int64_t d = 0; d < 12; ++d) x(i, d) = d / 4 == i % 3 ? (1.0 + static_cast<double>(d)) * (1 + random.uniform()) : 0.0;
    }
    for (std::int64_t i = 0; i < 40; ++i) {  // rank one a block: every row of it the same direction
        for (std::int64_t d = 0; d < 12; ++d) x(i, d) = x(i, d) > 0 ? (1.0 + static_cast<double>(d)) * (1.0 + static_cast<double>(i)) : 0.0;
    }
    const auto fit = coxlmm::nmf(x, {.n_components = 3, .l1 = 0});
    double total = 0;
    for (std::int64_t i = 0; i < 40; ++i) total += std::pow(row_norm(x, i), 2);
    REQUIRE(fit.squared_error < 1e-10 * total);
}

TEST_CASE("NMF refuses negative data with its place", "[nmf]") {
    auto x = nonnegative<float>(80, 6, 2, 1);
    x(70, 4) = -0.5F;
    REQUIRE_THAT(complaint([&] { coxlmm::nmf(x, {.n_components = 2}); }), Contains("-0.5") && Contains("row 70, column 4"));
    x(70, 4) = NAN;
    REQUIRE_THAT(complaint([&] { coxlmm::nmf(x, {.n_components = 2}); }), Contains("row 70, column 4"));
}

TEMPLATE_TEST_CASE("singular starts reach an optimum as good as the others", "[semi_nmf]", float, double) {
    const auto x = planted<TestType>(300, 60, 6, 11, 0.05).x;
    const auto by_svd = coxlmm::semi_nmf(x, {.n_components = 6, .l1 = 0.2, .init = semi_nmf_init::svd});
    const auto best = coxlmm::semi_nmf(x, {.n_components = 6, .l1 = 0.2});
    REQUIRE(by_svd.objective < 1.3 * best.objective);
    REQUIRE(by_svd.history.back() < by_svd.history.front());
    const auto again = coxlmm::semi_nmf(x, {.n_components = 6, .l1 = 0.2, .init = semi_nmf_init::svd, .seed = 99});
    REQUIRE(again.objective == Approx(by_svd.objective).epsilon(1e-2));
    // More atoms than there are directions.
    matrix<TestType> flat(50, 7);
    for (std::int64_t i = 0; i < 50; ++i) {
        for (std::int64_t d = 0; d < 7; ++d) flat(i, d) = static_cast<TestType>((1 + i % 5) * (d + 1));
    }
    const auto rank_one = coxlmm::semi_nmf(flat, {.n_components = 4, .l1 = 0.0, .init = semi_nmf_init::svd});
    REQUIRE(rank_one.squared_error < 1e-6 * 50 * 140 * 11);
}
