// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/semi_nmf.hpp>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support.hpp"

using coxlmm::matrix;
using coxlmm::semi_nmf;
using coxlmm::semi_nmf_init;
using coxlmm::semi_nmf_options;
using coxlmm::stop_reason;
using namespace support;

namespace {

const std::vector<semi_nmf_init> all_inits {semi_nmf_init::samples, semi_nmf_init::kmeans_plus_plus, semi_nmf_init::random};

template <class T>
void check_feasible(const coxlmm::semi_nmf_result<T>& fit) {
    for (std::int64_t i = 0; i < fit.codes.size(); ++i) REQUIRE(fit.codes.data()[i] >= 0);
    for (std::int64_t k = 0; k < fit.dictionary.rows(); ++k) CHECK(row_norm(fit.dictionary, k) <= 1 + tolerance<T>);
}

}  // namespace

TEMPLATE_TEST_CASE("the objective never rises and the last one is the result's", "[semi_nmf]", float, double) {
    const double offset = GENERATE(0.0, 3.0);
    const auto init = GENERATE(from_range(all_inits));
    const planted<TestType> problem(150, 40, 6, 1, 0.1, offset);
    const auto fit = semi_nmf(problem.x, {.n_components = 6, .l1 = 0.5, .init = init, .n_init = 1, .tol = 1e-7});
    REQUIRE(fit.history.size() == static_cast<std::size_t>(fit.n_iter) + 1);
    REQUIRE(fit.history.size() > 5);
    for (std::size_t i = 1; i < fit.history.size(); ++i) CHECK(fit.history[i] <= fit.history[i - 1]);
    CHECK(fit.objective <= fit.history.back() * (1 + tolerance<TestType>));
    CHECK(fit.objective == Approx(fit.history.back()).epsilon(1e-4));
    check_feasible(fit);
}

TEMPLATE_TEST_CASE("the objective is that of the returned pair", "[semi_nmf]", float, double) {
    const double l1 = GENERATE(0.0, 0.7);
    // An offset a hundred times the noise: the identity |x|^2 - 2 c v + v G v would lose these digits in float.
    const planted<TestType> problem(120, 70, 5, 2, 0.05, 5.0);
    const auto fit = semi_nmf(problem.x, {.n_components = 7, .l1 = l1});
    CHECK(fit.objective == Approx(objective(problem.x, fit.codes, fit.dictionary, l1)).epsilon(tolerance<TestType>));
    CHECK(fit.squared_error == Approx(objective(problem.x, fit.codes, fit.dictionary, 0)).epsilon(tolerance<TestType>));
}

TEMPLATE_TEST_CASE("codes and atoms are stationary at the end", "[semi_nmf]", float, double) {
    const double l1 = GENERATE(0.5, 5.0);
    const planted<TestType> problem(160, 30, 5, 3, 0.2);
    const auto fit =
        semi_nmf(problem.x, {.n_components = 5, .l1 = l1, .n_init = 2, .max_iter = 5000, .tol = sizeof(TestType) == 4 ? 1e-9 : 1e-13});
    CHECK(fit.stop == stop_reason::converged);
    const double kkt = kkt_of_codes(problem.x, fit.codes, fit.dictionary, l1);
    CHECK(kkt <= (sizeof(TestType) == 4 ? 2e-6 : 1e-9));
    CHECK(fit.kkt_residual == Approx(kkt).margin(sizeof(TestType) == 4 ? 2e-6 : 1e-9));
    // sqrt: near its minimum an objective known to eps places the minimum to sqrt(eps).
    CHECK(kkt_of_atoms(problem.x, fit.codes, fit.dictionary) <= (sizeof(TestType) == 4 ? 1e-4 : 1e-6));
    check_feasible(fit);
}

TEMPLATE_TEST_CASE("a planted dictionary is found", "[semi_nmf]", float, double) {
    const std::uint64_t seed = GENERATE(0U, 1U, 2U, 3U);
    const planted<TestType> problem(400, 50, 8, 10 + seed, 0.01);
    const auto fit = semi_nmf(problem.x, {.n_components = 8, .l1 = 0.05, .seed = seed});
    CHECK(worst_match(problem.dictionary, fit.dictionary) > 0.99);
    // The truth is feasible, so the optimum can only be better.
    CHECK(fit.objective <= objective(problem.x, problem.codes, problem.dictionary, 0.05) * (1 + 1e-3));
}

TEMPLATE_TEST_CASE("with one atom and no penalty the optimum is known", "[semi_nmf]", float, double) {
    // X = s u with s > 0: the atom is u and nothing is left over.
    matrix<TestType> x(30, 12);
    auto u = gaussian<TestType>(1, 12, 4);
    scale_rows_to_one(u);
    for (std::int64_t i = 0; i < 30; ++i) {
        for (std::int64_t d = 0; d < 12; ++d) x(i, d) = static_cast<TestType>(1 + i) * u(0, d);
    }
    const auto fit = semi_nmf(x, {.n_components = 1, .l1 = 0});
    CHECK(largest_difference(fit.dictionary, u) < 1e-4);
    for (std::int64_t i = 0; i < 30; ++i) CHECK(fit.codes(i, 0) == Approx(1 + i).epsilon(1e-4));
}

TEMPLATE_TEST_CASE("a penalty above the threshold makes every code zero", "[semi_nmf]", float, double) {
    const auto x = gaussian<TestType>(40, 10, 5);
    double largest = 0;
    double squared = 0;
    for (std::int64_t i = 0; i < 40; ++i) {
        largest = std::max(largest, row_norm(x, i));
        squared += row_norm(x, i) * row_norm(x, i);
    }
    // v_k = 0 is optimal when 2 <x, u_k> <= l1, and <x, u_k> <= |x|.
    const auto fit = semi_nmf(x, {.n_components = 3, .l1 = 2 * largest * 1.001});
    for (std::int64_t i = 0; i < fit.codes.size(); ++i) CHECK(fit.codes.data()[i] == 0);
    CHECK(fit.objective == Approx(squared).epsilon(tolerance<TestType>));
}

TEMPLATE_TEST_CASE("as many atoms as samples reproduce the samples", "[semi_nmf]", float, double) {
    const auto x = gaussian<TestType>(9, 20, 6);
    const auto fit = semi_nmf(x, {.n_components = 9, .l1 = 0, .init = semi_nmf_init::samples});
    double squared = 0;
    for (std::int64_t i = 0; i < 9; ++i) squared += row_norm(x, i) * row_norm(x, i);
    CHECK(fit.objective <= 1e-5 * squared);
}

TEMPLATE_TEST_CASE("zero samples get zero codes, and zero data is no accident", "[semi_nmf]", float, double) {
    auto x = gaussian<TestType>(30, 8, 7);
    for (std::int64_t d = 0; d < 8; ++d) x(4, d) = x(17, d) = 0;
    const auto init = GENERATE(from_range(all_inits));
    const auto fit = semi_nmf(x, {.n_components = 4, .l1 = 0.1, .init = init});
    for (std::int64_t k = 0; k < 4; ++k) {
        CHECK(fit.codes(4, k) == 0);
        CHECK(fit.codes(17, k) == 0);
    }
    const auto nothing = semi_nmf(matrix<TestType>(6, 8), {.n_components = 2, .init = init});
    CHECK(nothing.objective == 0);
    CHECK(nothing.stop == stop_reason::converged);
}

TEMPLATE_TEST_CASE("copies of a sample get the same code", "[semi_nmf]", float, double) {
    const auto few = gaussian<TestType>(5, 12, 8);
    matrix<TestType> x(60, 12);
    for (std::int64_t i = 0; i < 60; ++i) std::copy_n(few.row(i % 5), 12, x.row(i));
    const auto fit = semi_nmf(x, {.n_components = 10, .l1 = 0.01, .init = GENERATE(from_range(all_inits))});
    for (std::int64_t i = 5; i < 60; ++i) {
        for (std::int64_t k = 0; k < 10; ++k) CHECK(fit.codes(i, k) == Approx(fit.codes(i % 5, k)).margin(1e-4));
    }
}

TEMPLATE_TEST_CASE("the number of threads changes no bit", "[semi_nmf]", float, double) {
    // More tiles than threads, features that fill no register, and both paths to a start: with a sketch and without.
    const std::int64_t n_features = GENERATE(37, 301);
    const planted<TestType> problem(700, n_features, 6, 9, 0.3, 1.0);
    semi_nmf_options options{.n_components = 6, .l1 = 0.3, .n_init = 3, .max_iter = 12, .seed = 5, .n_threads = 1};
    const auto one = semi_nmf(problem.x, options);
    for (const int threads : {2, 3, 8, 64}) {
        options.n_threads = threads;
        const auto many = semi_nmf(problem.x, options);
        CHECK(same_bits(one.codes, many.codes));
        CHECK(same_bits(one.dictionary, many.dictionary));
        CHECK(one.history == many.history);
        CHECK(one.objective == many.objective);
    }
}

TEMPLATE_TEST_CASE("the seed decides, and nothing else does", "[semi_nmf]", float, double) {
    const auto init = GENERATE(from_range(all_inits));
    const auto x = gaussian<TestType>(90, 20, 10);
    semi_nmf_options options{.n_components = 5, .l1 = 0.2, .init = init, .n_init = 1, .max_iter = 3, .seed = 1};
    const auto first = semi_nmf(x, options);
    CHECK(same_bits(first.dictionary, semi_nmf(x, options).dictionary));
    options.seed = 2;
    CHECK_FALSE(same_bits(first.dictionary, semi_nmf(x, options).dictionary));
}

TEMPLATE_TEST_CASE("the order of the samples only orders the codes", "[semi_nmf]", float, double) {
    const planted<TestType> problem(150, 24, 5, 11, 0.1);
    matrix<TestType> reversed(150, 24);
    for (std::int64_t i = 0; i < 150; ++i) std::copy_n(problem.x.row(149 - i), 24, reversed.row(i));
    auto start = gaussian<TestType>(5, 24, 12);
    scale_rows_to_one(start);
    semi_nmf_options options{.n_components = 5, .l1 = 0.2, .initial = coxlmm::view(start), .max_iter = 15, .tol = 0};
    const auto fit = semi_nmf(problem.x, options);
    const auto other = semi_nmf(reversed, options);
    const double close = sizeof(TestType) == 4 ? 2e-3 : 1e-8;
    CHECK(largest_difference(fit.dictionary, other.dictionary) < close);
    CHECK(fit.objective == Approx(other.objective).epsilon(close));
    for (std::int64_t i = 0; i < 150; ++i) {
        for (std::int64_t k = 0; k < 5; ++k) CHECK(fit.codes(i, k) == Approx(other.codes(149 - i, k)).margin(10 * close));
    }
}

TEST_CASE("float agrees with double", "[semi_nmf]") {
    const planted<double> problem(200, 64, 6, 13, 0.1, 2.0);
    matrix<float> x(200, 64);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(problem.x.data()[i]);
    const auto wide = semi_nmf(problem.x, {.n_components = 6, .l1 = 0.3, .initial = coxlmm::view(problem.dictionary)});
    const auto narrow = semi_nmf(x, {.n_components = 6, .l1 = 0.3, .initial = coxlmm::view(problem.dictionary)});
    CHECK(narrow.objective == Approx(wide.objective).epsilon(1e-4));
    for (std::int64_t k = 0; k < 6; ++k) {
        for (std::int64_t d = 0; d < 64; ++d) {
            CHECK(static_cast<double>(narrow.dictionary(k, d)) == Approx(wide.dictionary(k, d)).margin(5e-3));
        }
    }
}

TEMPLATE_TEST_CASE("given atoms are the start", "[semi_nmf]", float, double) {
    const planted<TestType> problem(100, 20, 4, 14, 0.0);
    // From the truth, without noise and penalty, there is nothing to improve.
    const auto fit = semi_nmf(problem.x, {.n_components = 4, .l1 = 0, .initial = coxlmm::view(problem.dictionary)});
    CHECK(largest_difference(fit.dictionary, problem.dictionary) < 1e-4);
    CHECK(largest_difference(fit.codes, problem.codes) < 1e-3);
    // Longer atoms are scaled back, and the other precision is welcome.
    matrix<double> longer(4, 20);
    for (std::int64_t i = 0; i < longer.size(); ++i) longer.data()[i] = 3 * static_cast<double>(problem.dictionary.data()[i]);
    const auto same = semi_nmf(problem.x, {.n_components = 4, .l1 = 0, .initial = coxlmm::view(longer)});
    CHECK(largest_difference(same.dictionary, problem.dictionary) < 1e-4);
}

TEMPLATE_TEST_CASE("atoms that no sample uses come back to life", "[semi_nmf]", float, double) {
    const planted<TestType> problem(120, 16, 4, 15, 0.01);
    // Two atoms start where no sample is: opposite to the first two that the samples are made of.
    matrix<TestType> start = problem.dictionary;
    for (std::int64_t d = 0; d < 16; ++d) {
        start(0, d) = -start(1, d);
        start(2, d) = -start(3, d);
    }
    matrix<TestType> positive_only(120, 16);
    for (std::int64_t i = 0; i < 120; ++i) {
        for (std::int64_t d = 0; d < 16; ++d) {
            positive_only(i, d) = problem.codes(i, 1) * problem.dictionary(1, d) + problem.codes(i, 3) * problem.dictionary(3, d);
        }
    }
    const auto fit = semi_nmf(positive_only, {.n_components = 4, .l1 = 0.01, .initial = coxlmm::view(start)});
    for (std::size_t i = 1; i < fit.history.size(); ++i) CHECK(fit.history[i] <= fit.history[i - 1]);
    const auto mixed = semi_nmf(problem.x, {.n_components = 4, .l1 = 0.01, .initial = coxlmm::view(start)});
    for (std::int64_t k = 0; k < 4; ++k) {
        double used = 0;
        for (std::int64_t i = 0; i < 120; ++i) used += static_cast<double>(mixed.codes(i, k));
        CHECK(used > 0);
    }
}

TEMPLATE_TEST_CASE("an atom that can never be used is replaced by one that is needed", "[semi_nmf]", float, double) {
    // Samples a e0 + b e1 and b e0 + a e1 with a, b > 0. By symmetry one atom stays (e0 + e1) / sqrt(2), and what it
    // leaves is orthogonal to the second one, -(e0 + e1) / sqrt(2): left alone that one stays dead.
    matrix<TestType> x(60, 6);
    coxlmm::random_source random(20);
    double squared = 0;
    for (std::int64_t i = 0; i < 60; i += 2) {
        for (std::int64_t d = 0; d < 2; ++d) {
            x(i, d) = x(i + 1, 1 - d) = static_cast<TestType>(1 + 4 * random.uniform());
            squared += 2 * static_cast<double>(x(i, d)) * static_cast<double>(x(i, d));
        }
    }
    matrix<TestType> start(2, 6);
    start(0, 0) = start(0, 1) = 1;
    start(1, 0) = start(1, 1) = -1;
    const auto fit = semi_nmf(x, {.n_components = 2, .l1 = 0.1, .initial = coxlmm::view(start), .max_iter = 1000, .tol = 1e-7});
    CHECK(fit.objective < 0.05 * squared);
    for (std::int64_t k = 0; k < 2; ++k) {
        double used = 0;
        for (std::int64_t i = 0; i < 60; ++i) used += static_cast<double>(fit.codes(i, k));
        CHECK(used > 0);
    }
    for (std::size_t i = 1; i < fit.history.size(); ++i) CHECK(fit.history[i] <= fit.history[i - 1]);
}

TEMPLATE_TEST_CASE("several starts are no worse than the worst one", "[semi_nmf]", float, double) {
    const auto x = gaussian<TestType>(200, 30, 16);
    double worst = 0;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        worst = std::max(worst, semi_nmf(x, {.n_components = 8, .l1 = 1, .n_init = 1, .seed = seed}).objective);
    }
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        CHECK(semi_nmf(x, {.n_components = 8, .l1 = 1, .n_init = 8, .seed = seed}).objective < worst);
    }
}

TEST_CASE("the callback sees every iteration and can stop the fit", "[semi_nmf]") {
    const auto x = gaussian<double>(120, 20, 17);
    std::vector<coxlmm::iteration> seen;
    semi_nmf_options options{.n_components = 5, .l1 = 0.2, .n_init = 1, .tol = 0, .callback = [&](const coxlmm::iteration& it) {
                                 seen.push_back(it);
                                 return it.index < 4;
                             }};
    const auto fit = semi_nmf(x, options);
    CHECK(fit.stop == stop_reason::callback);
    CHECK(fit.n_iter == 4);
    REQUIRE(seen.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(seen[i].index == static_cast<std::int64_t>(i) + 1);
        CHECK(seen[i].objective == fit.history[i + 1]);
    }
    // A stopped fit is a full result: its codes are optimal for its dictionary.
    CHECK(kkt_of_codes(x, fit.codes, fit.dictionary, 0.2) < 1e-9);

    options.callback = {};
    options.max_iter = 4;
    const auto full = semi_nmf(x, options);
    CHECK(full.stop == stop_reason::max_iter);
    CHECK(same_bits(full.dictionary, fit.dictionary));
}

TEST_CASE("a step that is refused is no iteration", "[semi_nmf]") {
    // Without a tolerance the fit goes on until no step lowers the objective.
    const planted<double> problem(60, 10, 3, 21, 0.05);
    std::int64_t calls = 0;
    const auto fit = semi_nmf(problem.x, {.n_components = 3, .l1 = 0.1, .max_iter = 100000, .tol = 0,
                                          .callback = [&](const coxlmm::iteration&) { return ++calls > 0; }});
    CHECK(fit.stop == stop_reason::converged);
    CHECK(fit.n_iter == calls);
    REQUIRE(fit.history.size() == static_cast<std::size_t>(calls) + 1);
    // The rule of tol = 0: it may end on five equal values, never on one that a refused step repeats.
    const auto& h = fit.history;
    if (h[h.size() - 1] == h[h.size() - 2]) CHECK(h[h.size() - 6] == h.back());
}

TEST_CASE("what the callback throws leaves the fit", "[semi_nmf]") {
    const auto x = gaussian<float>(120, 20, 18);
    struct enough {};
    const semi_nmf_options options{.n_components = 5, .callback = [](const coxlmm::iteration&) -> bool { throw enough{}; }};
    CHECK_THROWS_AS(semi_nmf(x, options), enough);
}

TEST_CASE("what the checkpoint throws leaves the fit", "[semi_nmf]") {
    // tol = 0 and a callback that goes on: without the checkpoint this would run for minutes.
    const auto x = gaussian<float>(2000, 300, 19);
    struct enough {};
    const int threads = GENERATE(1, 3);
    int calls = 0;
    semi_nmf_options options{.n_components = 40, .max_iter = 1000000, .tol = 0, .n_threads = threads, .checkpoint = [&] {
                                 if (++calls == 2) throw enough{};
                             }};
    CHECK_THROWS_AS(semi_nmf(x, options), enough);
    CHECK(calls == 2);
}

TEST_CASE("a scale of the data that fits float changes nothing, the choice of the start included", "[semi_nmf]") {
    const auto x = planted<float>(300, 128, 4, 17, 0.3).x;
    const auto fit = coxlmm::semi_nmf(x, {.n_components = 4, .l1 = 0.5, .max_iter = 30});
    const int exponent = GENERATE(40, -30);
    auto scaled = x;
    for (std::int64_t i = 0; i < x.size(); ++i) scaled.data()[i] = std::ldexp(x.data()[i], exponent);
    const auto other = coxlmm::semi_nmf(scaled, {.n_components = 4, .l1 = std::ldexp(0.5, exponent), .max_iter = 30});
    REQUIRE(other.history.front() == Approx(std::ldexp(fit.history.front(), 2 * exponent)).epsilon(1e-4));
    REQUIRE(largest_difference(other.dictionary, fit.dictionary) < 1e-3);
}
