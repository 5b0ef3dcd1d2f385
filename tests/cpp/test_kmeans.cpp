// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/kmeans.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "support.hpp"

using Catch::Matchers::Contains;
using coxlmm::kmeans;
using coxlmm::kmeans_activations;
using coxlmm::kmeans_options;
using coxlmm::matrix;
using coxlmm::stop_reason;
using namespace support;

namespace {

template <class T>
struct clusters {
    matrix<T> x;
    std::vector<std::int64_t> labels;

    clusters(std::int64_t n_samples, std::int64_t n_features, std::int64_t n_clusters, std::uint64_t seed, double spread,
             double offset = 0)
        : x(gaussian<T>(n_samples, n_features, seed)), labels(static_cast<std::size_t>(n_samples)) {
        const auto centers = gaussian<double>(n_clusters, n_features, seed + 1);
        for (std::int64_t i = 0; i < n_samples; ++i) {
            labels[static_cast<std::size_t>(i)] = i % n_clusters;
            for (std::int64_t d = 0; d < n_features; ++d) {
                x(i, d) = static_cast<T>(offset + spread * static_cast<double>(x(i, d)) + centers(i % n_clusters, d));
            }
        }
    }
};

template <class T>
double distance(const matrix<T>& x, std::int64_t i, const matrix<T>& centers, std::int64_t k) {
    double squared = 0;
    for (std::int64_t d = 0; d < x.cols(); ++d)
        squared += std::pow(static_cast<double>(x(i, d)) - static_cast<double>(centers(k, d)), 2);
    return std::sqrt(squared);
}

/// Every sample is with its nearest center, and the inertia and the counts are those of the labels.
template <class T>
void check_assignment(const matrix<T>& x, const coxlmm::kmeans_result<T>& fit, double close) {
    double inertia = 0;
    std::vector<std::int64_t> counts(fit.counts.size());
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        const std::int64_t label = fit.labels[static_cast<std::size_t>(i)];
        REQUIRE(label >= 0);
        REQUIRE(label < fit.centers.rows());
        const double own = distance(x, i, fit.centers, label);
        for (std::int64_t k = 0; k < fit.centers.rows(); ++k) REQUIRE(own <= distance(x, i, fit.centers, k) * (1 + close));
        inertia += own * own;
        ++counts[static_cast<std::size_t>(label)];
    }
    CHECK(fit.inertia == Approx(inertia).epsilon(close).margin(1e-12));
    CHECK(fit.counts == counts);
}

template <class T>
void check_centers_are_means(const matrix<T>& x, const coxlmm::kmeans_result<T>& fit, double close) {
    for (std::int64_t k = 0; k < fit.centers.rows(); ++k) {
        for (std::int64_t d = 0; d < x.cols(); ++d) {
            double sum = 0;
            for (std::int64_t i = 0; i < x.rows(); ++i) {
                if (fit.labels[static_cast<std::size_t>(i)] == k) sum += static_cast<double>(x(i, d));
            }
            const auto count = static_cast<double>(fit.counts[static_cast<std::size_t>(k)]);
            if (count > 0) CHECK(static_cast<double>(fit.centers(k, d)) == Approx(sum / count).epsilon(close).margin(close));
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("the end is a fixed point: centers are means, samples are with the nearest center", "[kmeans]", float,
                   double) {
    // With and without the leading directions for the starts; an offset that single precision barely holds.
    const std::int64_t n_features = GENERATE(13, 160);
    const double offset = GENERATE(0.0, 1e3);
    const clusters<TestType> data(300, n_features, 7, 1, 1.0, offset);
    const auto fit = kmeans(data.x, {.n_clusters = 7, .n_init = 3, .tol = 0});
    CHECK(fit.stop == stop_reason::converged);
    const double close = sizeof(TestType) == 4 ? 5e-5 : 1e-9;
    check_assignment(data.x, fit, close);
    check_centers_are_means(data.x, fit, close);
    REQUIRE(fit.history.size() == static_cast<std::size_t>(fit.n_iter) + 1);
    for (std::size_t i = 1; i < fit.history.size(); ++i)
        CHECK(fit.history[i] <= fit.history[i - 1] * (1 + tolerance<TestType> / 100));
    CHECK(fit.inertia == fit.history.back());
}

TEMPLATE_TEST_CASE("the inertia falls from any start, and running out of iterations is said", "[kmeans]", float, double) {
    const auto x = gaussian<TestType>(400, 20, 2);
    const auto start = gaussian<double>(9, 20, 3);
    kmeans_options options{.n_clusters = 9, .initial = coxlmm::view(start), .tol = 0};
    const auto fit = kmeans(x, options);
    REQUIRE(fit.n_iter > 5);
    for (std::size_t i = 1; i < fit.history.size(); ++i) CHECK(fit.history[i] <= fit.history[i - 1]);
    options.max_iter = 3;
    const auto early = kmeans(x, options);
    CHECK(early.stop == stop_reason::max_iter);
    CHECK(early.n_iter == 3);
    CHECK(std::equal(early.history.begin(), early.history.end(), fit.history.begin()));
    check_assignment(x, early, 1e-4);
    // A tolerance as large as the data is reached by the first iteration.
    options.max_iter = 300;
    options.tol = 1e6;
    CHECK(kmeans(x, options).n_iter == 1);
}

TEMPLATE_TEST_CASE("separated clusters are recovered", "[kmeans]", float, double) {
    const std::uint64_t seed = GENERATE(0U, 1U, 2U, 3U);
    const std::int64_t n_features = GENERATE(12, 200);
    const double offset = GENERATE(0.0, 1e4);
    const clusters<TestType> data(240, n_features, 8, 10 + seed, 0.05, offset);
    const auto fit = kmeans(data.x, {.n_clusters = 8, .n_init = 4, .seed = seed});
    std::set<std::pair<std::int64_t, std::int64_t>> pairs;
    for (std::size_t i = 0; i < data.labels.size(); ++i) pairs.emplace(data.labels[i], fit.labels[i]);
    CHECK(pairs.size() == 8);
    for (const std::int64_t count : fit.counts) CHECK(count == 30);
}

TEMPLATE_TEST_CASE("a cluster without samples takes over the farthest one", "[kmeans]", float, double) {
    // Two groups and one sample far from both; the third center starts where no sample is.
    matrix<TestType> x(21, 3);
    for (std::int64_t i = 0; i < 20; ++i) {
        x(i, 0) = static_cast<TestType>(i < 10 ? 0 : 5);
        x(i, 1) = static_cast<TestType>(0.01 * static_cast<double>(i % 10));
    }
    x(20, 2) = 4;
    matrix<double> start(3, 3);
    start(1, 0) = 5;
    start(2, 0) = 1e3;
    const auto fit = kmeans(x, {.n_clusters = 3, .initial = coxlmm::view(start), .tol = 0});
    CHECK(fit.counts == std::vector<std::int64_t>{10, 10, 1});
    CHECK(fit.labels[20] == 2);
    CHECK(static_cast<double>(fit.centers(2, 2)) == Approx(4));
    check_centers_are_means(x, fit, 1e-5);
    for (std::size_t i = 1; i < fit.history.size(); ++i) CHECK(fit.history[i] <= fit.history[i - 1]);
}

TEMPLATE_TEST_CASE("as many clusters as samples, one cluster, and copies", "[kmeans]", float, double) {
    const auto x = gaussian<TestType>(11, 6, 4);
    const auto all = kmeans(x, {.n_clusters = 11});
    CHECK(all.inertia == Approx(0).margin(1e-9));
    for (const std::int64_t count : all.counts) CHECK(count == 1);

    const auto one = kmeans(x, {.n_clusters = 1});
    check_centers_are_means(x, one, tolerance<TestType>);
    check_assignment(x, one, tolerance<TestType>);

    matrix<TestType> copies(40, 6);
    for (std::int64_t i = 0; i < 40; ++i) std::copy_n(x.row(i % 4), 6, copies.row(i));
    const auto exact = kmeans(copies, {.n_clusters = 4});
    CHECK(exact.inertia == Approx(0).margin(1e-9));
    for (const std::int64_t count : exact.counts) CHECK(count == 10);
    // More clusters than different samples: some stay empty, none is lost or not a number.
    const auto more = kmeans(copies, {.n_clusters = 6});
    CHECK(more.inertia == Approx(0).margin(1e-9));
    CHECK(std::count(more.counts.begin(), more.counts.end(), 0) == 2);
    for (std::int64_t i = 0; i < more.centers.size(); ++i) CHECK(coxlmm::is_finite(more.centers.data()[i]));
    CHECK(kmeans(matrix<TestType>(5, 3), {.n_clusters = 2}).inertia == 0);
}

TEMPLATE_TEST_CASE("more starts are no worse, and the seed decides", "[kmeans]", float, double) {
    const auto x = gaussian<TestType>(250, 12, 5);
    std::set<double> different;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        const auto fit = kmeans(x, {.n_clusters = 10, .n_init = 1, .seed = seed});
        different.insert(fit.inertia);
        CHECK(same_bits(fit.centers, kmeans(x, {.n_clusters = 10, .n_init = 1, .seed = seed}).centers));
        // The first of several starts is the one there is alone.
        CHECK(kmeans(x, {.n_clusters = 10, .n_init = 4, .seed = seed}).inertia <= fit.inertia);
    }
    CHECK(different.size() > 1);
}

TEMPLATE_TEST_CASE("the number of threads, strides and blocks change no bit of the centers", "[kmeans]", float, double) {
    const std::int64_t n_features = GENERATE(37, 301);
    const clusters<TestType> data(700, n_features, 9, 6, 1.5, 1.0);
    kmeans_options options{.n_clusters = 9, .n_init = 2, .max_iter = 12, .seed = 5, .n_threads = 1};
    const auto one = kmeans(data.x, options);
    for (const int threads : {2, 3, 8}) {
        options.n_threads = threads;
        const auto many = kmeans(data.x, options);
        CHECK(same_bits(one.centers, many.centers));
        CHECK(one.labels == many.labels);
        CHECK(one.history == many.history);
    }
    matrix<TestType> transposed(n_features, 700);
    for (std::int64_t i = 0; i < 700; ++i) {
        for (std::int64_t d = 0; d < n_features; ++d) transposed(d, i) = data.x(i, d);
    }
    CHECK(same_bits(one.centers, kmeans(transposed.ref().transposed(), options).centers));
    coxlmm::row_blocks<TestType> blocks(coxlmm::matrix_ref<const TestType>(data.x.data(), 33, n_features));
    blocks.append(coxlmm::matrix_ref<const TestType>(data.x.row(33), 667, n_features));
    CHECK(same_bits(one.centers, kmeans(blocks, options).centers));
}

TEMPLATE_TEST_CASE("activations are 1 / (1 + distance)", "[kmeans]", float, double) {
    const double offset = GENERATE(0.0, 1e4);
    const clusters<TestType> data(90, 33, 5, 7, 0.3, offset);
    matrix<TestType> centers(5, 33);
    for (std::int64_t k = 0; k < 5; ++k) std::copy_n(data.x.row(10 + k), 33, centers.row(k));
    const auto activations = kmeans_activations(data.x, centers, {.n_threads = 3});
    REQUIRE(activations.rows() == 90);
    REQUIRE(activations.cols() == 5);
    for (std::int64_t i = 0; i < 90; ++i) {
        for (std::int64_t k = 0; k < 5; ++k) {
            CHECK(static_cast<double>(activations(i, k)) ==
                  Approx(1 / (1 + distance(data.x, i, centers, k))).epsilon(tolerance<TestType>));
        }
    }
    for (std::int64_t k = 0; k < 5; ++k) CHECK(activations(10 + k, k) == 1);
    CHECK(same_bits(activations, kmeans_activations(data.x, centers, {.n_threads = 1})));
}

TEST_CASE("kmeans refuses what makes no sense, with the numbers", "[kmeans][misuse]") {
    auto x = gaussian<double>(12, 5, 8);
    const auto fit = [&](const kmeans_options& options) { return complaint([&] { kmeans(x, options); }); };
    CHECK_THAT(fit({}), Contains("n_clusters is 0"));
    CHECK_THAT(fit({.n_clusters = 13}), Contains("n_clusters is 13") && Contains("12 samples") && Contains("12 x 5"));
    CHECK_THAT(fit({.n_clusters = 2, .n_init = 0}), Contains("n_init is 0"));
    CHECK_THAT(fit({.n_clusters = 2, .max_iter = 0}), Contains("max_iter is 0"));
    CHECK_THAT(fit({.n_clusters = 2, .tol = -1}), Contains("tol is -1"));
    CHECK_THAT(fit({.n_clusters = 2, .n_threads = -2}), Contains("n_threads is -2"));
    matrix<double> centers(2, 4);
    CHECK_THAT(fit({.n_clusters = 2, .initial = coxlmm::view(centers)}), Contains("2 x 4") && Contains("2 x 5"));
    CHECK_THAT(complaint([&] { kmeans_activations(x, centers); }),
               Contains("5 features") && Contains("12 x 5") && Contains("2 x 4"));
    CHECK_THAT(complaint([&] { kmeans(matrix<float>(0, 5), {.n_clusters = 1}); }), Contains("0 x 5"));
    x(7, 3) = std::numeric_limits<double>::infinity();
    CHECK_THAT(fit({.n_clusters = 2}), Contains("row 7, column 3"));
    CHECK_THAT(complaint([&] { kmeans_activations(gaussian<double>(3, 5, 9), x); }), Contains("row 7, column 3"));
}

TEST_CASE("what the checkpoint throws leaves kmeans", "[kmeans]") {
    const auto x = gaussian<float>(2000, 200, 9);
    struct enough {};
    const int threads = GENERATE(1, 3);
    CHECK_THROWS_AS(
        kmeans(x, {.n_clusters = 40, .n_init = 1000000, .n_threads = threads, .checkpoint = [] { throw enough{}; }}),
        enough);
}
