// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/pca.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "support.hpp"

using Catch::Matchers::Contains;
using coxlmm::matrix;
using coxlmm::pca;
using coxlmm::pca_options;
using coxlmm::pca_solver;
using namespace support;

namespace {

/// Samples whose principal directions and variances decay: gaussian scores times orthonormal directions, plus an offset.
template <class T>
matrix<T> decaying(std::int64_t n_samples, std::int64_t n_features, std::int64_t rank, std::uint64_t seed, double decay,
                   double offset = 0) {
    const auto scores = gaussian<double>(n_samples, rank, seed);
    const auto directions = gaussian<double>(rank, n_features, seed + 1);
    matrix<T> x(n_samples, n_features);
    for (std::int64_t i = 0; i < n_samples; ++i) {
        for (std::int64_t d = 0; d < n_features; ++d) {
            double value = offset;
            for (std::int64_t k = 0; k < rank; ++k)
                value += scores(i, k) * directions(k, d) * std::pow(decay, static_cast<double>(k));
            x(i, d) = static_cast<T>(value);
        }
    }
    return x;
}

template <class T>
matrix<double> centred(const matrix<T>& x) {
    matrix<double> result(x.rows(), x.cols());
    for (std::int64_t d = 0; d < x.cols(); ++d) {
        long double mean = 0;
        for (std::int64_t i = 0; i < x.rows(); ++i) mean += static_cast<long double>(x(i, d));
        mean /= static_cast<long double>(x.rows());
        for (std::int64_t i = 0; i < x.rows(); ++i)
            result(i, d) = static_cast<double>(static_cast<long double>(x(i, d)) - mean);
    }
    return result;
}

template <class T>
double orthonormality(const matrix<T>& rows) {
    double worst = 0;
    for (std::int64_t a = 0; a < rows.rows(); ++a) {
        for (std::int64_t b = 0; b <= a; ++b) {
            double dot = a == b ? -1 : 0;
            for (std::int64_t d = 0; d < rows.cols(); ++d)
                dot += static_cast<double>(rows(a, d)) * static_cast<double>(rows(b, d));
            worst = std::max(worst, std::abs(dot));
        }
    }
    return worst;
}

double squared(const matrix<double>& m) {
    double sum = 0;
    for (std::int64_t i = 0; i < m.size(); ++i) sum += m.data()[i] * m.data()[i];
    return sum;
}

/// C w - w (w C w) for every component w of the covariance C, over the largest variance: 0 for eigenvectors.
template <class T>
double eigen_residual(const matrix<double>& xc, const matrix<T>& components, double largest) {
    double worst = 0;
    for (std::int64_t k = 0; k < components.rows(); ++k) {
        std::vector<double> product(static_cast<std::size_t>(xc.cols()));
        double value = 0;
        for (std::int64_t i = 0; i < xc.rows(); ++i) {
            double score = 0;
            for (std::int64_t d = 0; d < xc.cols(); ++d) score += xc(i, d) * static_cast<double>(components(k, d));
            value += score * score;
            for (std::int64_t d = 0; d < xc.cols(); ++d) product[static_cast<std::size_t>(d)] += score * xc(i, d);
        }
        double left = 0;
        for (std::int64_t d = 0; d < xc.cols(); ++d) {
            left += std::pow(product[static_cast<std::size_t>(d)] - value * static_cast<double>(components(k, d)), 2);
        }
        worst = std::max(worst, std::sqrt(left) / static_cast<double>(xc.rows() - 1) / largest);
    }
    return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("components are orthonormal eigenvectors and scores are coordinates", "[pca]", float, double) {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const bool wide = GENERATE(false, true);
    const double offset = GENERATE(0.0, 1e4);  // far beyond the spread: what is left of it in float must be the data
    const auto x = decaying<TestType>(wide ? 60 : 200, wide ? 150 : 70, 12, 1, 0.5, offset);
    const auto fit = pca(x, {.n_components = 5, .solver = solver});
    const auto xc = centred(x);
    const double close = 20 * tolerance<TestType>;
    CHECK(orthonormality(fit.components) < close);
    CHECK(fit.total_variance == Approx(squared(xc) / static_cast<double>(x.rows() - 1)).epsilon(close));
    CHECK(eigen_residual(xc, fit.components, fit.explained_variance[0]) < 5 * close);
    for (std::int64_t k = 0; k < 5; ++k) {
        const auto c = static_cast<std::size_t>(k);
        double squares = 0;
        for (std::int64_t i = 0; i < x.rows(); ++i) {
            double score = 0;
            for (std::int64_t d = 0; d < x.cols(); ++d) score += xc(i, d) * static_cast<double>(fit.components(k, d));
            CHECK(static_cast<double>(fit.scores(i, k)) == Approx(score).margin(close * fit.singular_values[0]));
            squares += score * score;
        }
        CHECK(fit.explained_variance[c] == Approx(squares / static_cast<double>(x.rows() - 1)).epsilon(close));
        CHECK(fit.singular_values[c] == Approx(std::sqrt(squares)).epsilon(close));
        CHECK(fit.explained_variance_ratio[c] == Approx(fit.explained_variance[c] / fit.total_variance));
        if (k > 0) CHECK(fit.explained_variance[c] <= fit.explained_variance[c - 1]);
        const auto* row = fit.components.row(k);
        CHECK(*std::max_element(row, row + x.cols(), [](auto a, auto b) { return std::abs(a) < std::abs(b); }) > 0);
    }
    for (std::int64_t d = 0; d < x.cols(); ++d) {
        CHECK(static_cast<double>(fit.mean(0, d)) ==
              Approx(static_cast<double>(x(0, d)) - xc(0, d)).epsilon(1e-6).margin(1e-6));
    }
}

TEMPLATE_TEST_CASE("what is explained and what is left add up to the variance", "[pca]", float, double) {
    const auto x = gaussian<TestType>(80, 40, 2);
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const auto fit = pca(x, {.n_components = 7, .solver = solver});
    const auto xc = centred(x);
    double left = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        for (std::int64_t d = 0; d < x.cols(); ++d) {
            double value = xc(i, d);
            for (std::int64_t k = 0; k < 7; ++k)
                value -= static_cast<double>(fit.scores(i, k)) * static_cast<double>(fit.components(k, d));
            left += value * value;
        }
    }
    double explained = 0;
    for (const double v : fit.explained_variance) explained += v;
    CHECK(explained + left / 79 == Approx(fit.total_variance).epsilon(tolerance<TestType>));
    CHECK(left > 0);
}

TEMPLATE_TEST_CASE("the solvers agree where variances decay, and the exact one holds no less", "[pca]", float, double) {
    const bool wide = GENERATE(false, true);
    const auto x = decaying<TestType>(wide ? 90 : 300, wide ? 320 : 64, 40, 3, 0.7, 2.0);
    const auto exact = pca(x, {.n_components = 6, .solver = pca_solver::full});
    const auto random = pca(x, {.n_components = 6, .solver = pca_solver::randomized, .n_power_iterations = 6});
    for (std::size_t k = 0; k < 6; ++k) {
        CHECK(random.explained_variance[k] == Approx(exact.explained_variance[k]).epsilon(20 * tolerance<TestType>));
    }
    CHECK(largest_difference(exact.components, random.components) < (sizeof(TestType) == 4 ? 2e-3 : 1e-5));
    // No subspace holds more than the leading one, however slowly the variances decay.
    const auto noise = gaussian<TestType>(90, 60, 4);
    double held_exactly = 0;
    double held = 0;
    for (const double v : pca(noise, {.n_components = 6, .solver = pca_solver::full}).explained_variance) held_exactly += v;
    for (const double v :
         pca(noise, {.n_components = 6, .solver = pca_solver::randomized, .n_power_iterations = 0}).explained_variance)
        held += v;
    CHECK(held <= held_exactly * (1 + tolerance<TestType>));
    CHECK(held < 0.98 * held_exactly);  // without power iterations, so that the comparison means something
}

TEST_CASE("the mean may lie between two numbers of float", "[pca]") {
    // Floats around 2^20 are 1/8 apart: the samples are exact, their mean is not.
    coxlmm::random_source random(13);
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    matrix<float> x(100, 150);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = 0x1p20F + 0.125F * static_cast<float>(random.below(9));
    const auto fit = pca(x, {.n_components = 3, .solver = solver});
    CHECK(fit.total_variance == Approx(squared(centred(x)) / 99).epsilon(1e-5));
    for (std::int64_t k = 0; k < 3; ++k) {
        double sum = 0;
        for (std::int64_t i = 0; i < 100; ++i) sum += static_cast<double>(fit.scores(i, k));
        CHECK(std::abs(sum / 100) < 1e-4 * std::sqrt(fit.explained_variance[2]));
    }
}

TEMPLATE_TEST_CASE("the scale of the samples changes no component", "[pca]", float, double) {
    // Squares of the variances do not fit float, or vanish there: of the samples themselves they do fit.
    const double scale = GENERATE(0x1p30, 0x1p-43);
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const auto x = decaying<TestType>(150, 80, 40, 14, 0.97);
    auto scaled = x;
    for (std::int64_t i = 0; i < x.size(); ++i) scaled.data()[i] *= static_cast<TestType>(scale);
    const auto fit = pca(x, {.n_components = 5, .solver = solver, .n_power_iterations = 2});
    const auto other = pca(scaled, {.n_components = 5, .solver = solver, .n_power_iterations = 2});
    CHECK(largest_difference(fit.components, other.components) < 20 * tolerance<TestType>);
    for (std::size_t k = 0; k < 5; ++k) {
        CHECK(other.singular_values[k] / scale == Approx(fit.singular_values[k]).epsilon(tolerance<TestType>));
    }
}

TEST_CASE("float agrees with double, small variances too", "[pca]") {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const auto x = decaying<float>(150, 80, 10, 5, 0.2);  // the sixth variance is 1e-7 of the first one
    matrix<double> wide(150, 80);
    for (std::int64_t i = 0; i < x.size(); ++i) wide.data()[i] = static_cast<double>(x.data()[i]);
    const auto narrow = pca(x, {.n_components = 6, .solver = solver});
    const auto other = pca(wide, {.n_components = 6, .solver = solver});
    for (std::size_t k = 0; k < 6; ++k)
        CHECK(narrow.explained_variance[k] == Approx(other.explained_variance[k]).epsilon(1e-3));
}

TEMPLATE_TEST_CASE("moving the samples moves the mean alone, and turning them turns the components", "[pca]", float,
                   double) {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const auto x = decaying<TestType>(120, 20, 8, 6, 0.5);
    matrix<TestType> moved(120, 20);
    matrix<TestType> turned(120, 20);  // by 30 degrees in the plane of features 3 and 11
    const double c = std::cos(0.5235987755982988);
    const double s = 0.5;
    for (std::int64_t i = 0; i < 120; ++i) {
        for (std::int64_t d = 0; d < 20; ++d) {
            moved(i, d) = x(i, d) + static_cast<TestType>(d);
            turned(i, d) = x(i, d);
        }
        turned(i, 3) = static_cast<TestType>(c * static_cast<double>(x(i, 3)) - s * static_cast<double>(x(i, 11)));
        turned(i, 11) = static_cast<TestType>(s * static_cast<double>(x(i, 3)) + c * static_cast<double>(x(i, 11)));
    }
    const pca_options options{.n_components = 4, .solver = solver};
    const auto fit = pca(x, options);
    const auto there = pca(moved, options);
    const auto other = pca(turned, options);
    const double close = sizeof(TestType) == 4 ? 2e-4 : 1e-6;
    CHECK(largest_difference(fit.components, there.components) < close);
    for (std::int64_t d = 0; d < 20; ++d) {
        CHECK(static_cast<double>(there.mean(0, d)) ==
              Approx(static_cast<double>(fit.mean(0, d)) + static_cast<double>(d)).margin(1e-5));
    }
    for (std::int64_t k = 0; k < 4; ++k) {
        const auto n = static_cast<std::size_t>(k);
        CHECK(there.explained_variance[n] == Approx(fit.explained_variance[n]).epsilon(close));
        CHECK(other.explained_variance[n] == Approx(fit.explained_variance[n]).epsilon(close));
        const double sign = static_cast<double>(other.scores(0, k)) * static_cast<double>(fit.scores(0, k)) > 0 ? 1 : -1;
        const double expected =
            c * static_cast<double>(fit.components(k, 3)) - s * static_cast<double>(fit.components(k, 11));
        CHECK(sign * static_cast<double>(other.components(k, 3)) == Approx(expected).margin(close));
    }
}

TEMPLATE_TEST_CASE("components beyond the rank hold nothing and complete the others", "[pca]", float, double) {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const std::int64_t rank = GENERATE(0, 1, 3);
    const bool wide = GENERATE(false, true);
    auto x = decaying<TestType>(wide ? 30 : 50, wide ? 44 : 16, rank, 7, 0.8, 3.0);
    const auto fit = pca(x, {.n_components = 9, .solver = solver});
    CHECK(orthonormality(fit.components) < tolerance<TestType>);
    for (std::size_t k = 0; k < 9; ++k) {
        CHECK(coxlmm::is_finite(fit.explained_variance_ratio[k]));
        if (static_cast<std::int64_t>(k) < rank) CHECK(fit.explained_variance_ratio[k] > 0.05);
        if (static_cast<std::int64_t>(k) >= rank) CHECK(fit.explained_variance_ratio[k] < 1e-10);
    }
}

TEMPLATE_TEST_CASE("all components there are, constant columns, copies of samples", "[pca]", float, double) {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized, pca_solver::automatic);
    const bool wide = GENERATE(false, true);
    auto x = gaussian<TestType>(wide ? 9 : 24, wide ? 24 : 9, 8);
    for (std::int64_t i = 0; i < x.rows(); ++i) x(i, 4) = 7;
    std::copy_n(x.row(0), x.cols(), x.row(1));
    const auto fit = pca(x, {.n_components = 9, .solver = solver});
    CHECK(orthonormality(fit.components) < tolerance<TestType>);
    double explained = 0;
    for (const double v : fit.explained_variance_ratio) explained += v;
    CHECK(explained == Approx(1).epsilon(tolerance<TestType>));
    for (std::int64_t k = 0; k < (wide ? 7 : 8); ++k) CHECK(std::abs(static_cast<double>(fit.components(k, 4))) < 1e-4);
}

TEMPLATE_TEST_CASE("the number of threads changes no bit of the components", "[pca]", float, double) {
    const auto solver = GENERATE(pca_solver::full, pca_solver::randomized);
    const bool wide = GENERATE(false, true);
    const auto x = decaying<TestType>(wide ? 130 : 700, wide ? 301 : 37, 20, 9, 0.8, 1.0);
    pca_options options{.n_components = 6, .solver = solver, .n_power_iterations = 2, .seed = 5, .n_threads = 1};
    const auto one = pca(x, options);
    for (const int threads : {2, 3, 8}) {
        options.n_threads = threads;
        const auto many = pca(x, options);
        CHECK(same_bits(one.components, many.components));
        CHECK(same_bits(one.scores, many.scores));
        CHECK(one.explained_variance == many.explained_variance);
        CHECK(one.total_variance == many.total_variance);
    }
}

TEST_CASE("strides and blocks change no bit of the components, and 16 bits are read where they lie", "[pca]") {
    const auto x = decaying<float>(150, 48, 8, 10, 0.7, 2.0);
    const pca_options options{.n_components = 4, .solver = pca_solver::randomized};
    const auto fit = pca(x, options);
    matrix<float> transposed(48, 150);
    for (std::int64_t i = 0; i < 150; ++i) {
        for (std::int64_t d = 0; d < 48; ++d) transposed(d, i) = x(i, d);
    }
    CHECK(same_bits(fit.components, pca(transposed.ref().transposed(), options).components));
    coxlmm::row_blocks<float> blocks(coxlmm::matrix_ref<const float>(x.data(), 61, 48));
    blocks.append(coxlmm::matrix_ref<const float>(x.row(61), 89, 48));
    CHECK(same_bits(fit.components, pca(blocks, options).components));
    matrix<coxlmm::bfloat16> stored(150, 48);
    matrix<float> rounded(150, 48);
    for (std::int64_t i = 0; i < x.size(); ++i) {
        stored.data()[i] = coxlmm::bfloat16(x.data()[i]);
        rounded.data()[i] = static_cast<float>(stored.data()[i]);
    }
    CHECK(same_bits(pca(stored, options).components, pca(rounded, options).components));
}

TEST_CASE("pca refuses what makes no sense, with the numbers", "[pca][misuse]") {
    auto x = gaussian<double>(12, 5, 11);
    const auto fit = [&](const pca_options& options) { return complaint([&] { pca(x, options); }); };
    CHECK_THAT(fit({}), Contains("n_components is 0"));
    CHECK_THAT(fit({.n_components = 6}), Contains("n_components is 6") && Contains("12 x 5") && Contains("at most 5"));
    CHECK_THAT(fit({.n_components = 2, .n_power_iterations = -1}), Contains("n_power_iterations is -1"));
    CHECK_THAT(fit({.n_components = 2, .n_threads = -2}), Contains("n_threads is -2"));
    CHECK_THAT(complaint([] { pca(matrix<float>(1, 5), {.n_components = 1}); }), Contains("at least 2"));
    CHECK_THAT(complaint([] { pca(matrix<float>(0, 5), {.n_components = 1}); }), Contains("0 x 5"));
    x(7, 3) = std::numeric_limits<double>::quiet_NaN();
    CHECK_THAT(fit({.n_components = 2}), Contains("row 7, column 3"));
}

TEST_CASE("what the checkpoint throws leaves pca", "[pca]") {
    const auto x = gaussian<float>(1500, 600, 12);
    struct enough {};
    const int threads = GENERATE(1, 3);
    CHECK_THROWS_AS(pca(x, {.n_components = 40,
                            .solver = pca_solver::randomized,
                            .n_power_iterations = 1000000,
                            .n_threads = threads,
                            .checkpoint = [] { throw enough{}; }}),
                    enough);
}
