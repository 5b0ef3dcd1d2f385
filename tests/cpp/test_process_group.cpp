// SPDX-License-Identifier: Apache-2.0
#include <barrier>
#include <catch2/catch.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <mutex>
#include <thread>
#include <vector>

#include "support.hpp"

using Catch::Contains;
using coxlmm::matrix;
using coxlmm::matrix_ref;
using namespace support;

namespace {

/// Threads that stand for processes: their sums meet in shared memory, added in the order of ranks.
class fake_processes {
public:
    explicit fake_processes(int size) : parts_(static_cast<std::size_t>(size)), all_here_(size) {}

    coxlmm::process_group member(int rank) {
        return {.rank = rank, .size = static_cast<int>(parts_.size()), .sum = [this, rank](double* values, std::int64_t n) {
                    parts_[static_cast<std::size_t>(rank)].assign(values, values + n);
                    all_here_.arrive_and_wait();
                    for (std::int64_t i = 0; i < n; ++i) {
                        values[i] = 0;
                        for (const auto& part : parts_) values[i] += part.at(static_cast<std::size_t>(i));
                    }
                    all_here_.arrive_and_wait();
                }};
    }

private:
    std::vector<std::vector<double>> parts_;
    std::barrier<> all_here_;
};

template <class T>
std::vector<coxlmm::semi_nmf_result<T>> fit_in_parts(const matrix<T>& x, const std::vector<std::int64_t>& bounds,
                                                     const coxlmm::semi_nmf_options& options) {
    const int size = static_cast<int>(bounds.size()) - 1;
    fake_processes processes(size);
    std::vector<coxlmm::semi_nmf_result<T>> fits(static_cast<std::size_t>(size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
        threads.emplace_back([&, rank] {
            const auto r = static_cast<std::size_t>(rank);
            auto own = options;
            own.n_threads = 1;
            own.group = processes.member(rank);
            fits[r] = coxlmm::semi_nmf(matrix_ref<const T>(x.row(bounds[r]), bounds[r + 1] - bounds[r], x.cols()), own);
        });
    }
    for (auto& thread : threads) thread.join();
    return fits;
}

}  // namespace

TEMPLATE_TEST_CASE("several processes find the dictionary that one finds", "[process_group]", float, double) {
    const auto data = planted<TestType>(240, 48, 5, 21, 0.1);
    auto start = gaussian<TestType>(5, 48, 4);
    SECTION("from a start that uses all atoms") {}
    SECTION("from a start with dead atoms, revived from the worst sample of any process") {
        for (std::int64_t d = 0; d < 48; ++d) start(1, d) = start(3, d) = TestType{};
    }
    const coxlmm::semi_nmf_options options{.n_components = 5, .l1 = 0.2, .initial = matrix_ref<const TestType>(start.ref())};
    const auto one = coxlmm::semi_nmf(data.x, options);
    const auto parts = fit_in_parts(data.x, {0, 30, 110, 240}, options);
    std::int64_t row = 0;
    for (const auto& part : parts) {
        REQUIRE(same_bits(part.dictionary, parts.front().dictionary));
        REQUIRE(part.objective == parts.front().objective);
        REQUIRE(part.kkt_residual == parts.front().kkt_residual);
        REQUIRE(part.n_iter == parts.front().n_iter);
        REQUIRE(part.objective == Approx(one.objective).epsilon(1e-5));
        REQUIRE(largest_difference(part.dictionary, one.dictionary) < (sizeof(TestType) == 4 ? 2e-3 : 1e-8));
        for (std::int64_t i = 0; i < part.codes.rows(); ++i, ++row) {
            for (std::int64_t k = 0; k < 5; ++k) {
                REQUIRE(std::abs(static_cast<double>(part.codes(i, k) - one.codes(row, k))) < (sizeof(TestType) == 4 ? 2e-2 : 1e-6));
            }
        }
    }
    REQUIRE(row == 240);
}

TEST_CASE("process 0 chooses the start, and one that stops stops them all", "[process_group]") {
    const auto data = planted<double>(200, 30, 4, 22, 0.1);
    const auto fits = fit_in_parts(data.x, {0, 90, 200}, {.n_components = 4, .l1 = 0.2});
    REQUIRE(same_bits(fits[0].dictionary, fits[1].dictionary));
    REQUIRE(fits[0].objective < 1.2 * coxlmm::semi_nmf(data.x, {.n_components = 4, .l1 = 0.2}).objective);

    fake_processes processes(2);
    std::vector<coxlmm::stop_reason> reasons(2);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
        threads.emplace_back([&, rank] {
            coxlmm::semi_nmf_options options{.n_components = 4, .l1 = 0.2, .tol = 0, .n_threads = 1, .group = processes.member(rank)};
            if (rank == 1) options.callback = [](const coxlmm::iteration& i) { return i.index < 2; };
            const auto fit = coxlmm::semi_nmf(matrix_ref<const double>(data.x.row(100 * rank), 100, 30), options);
            reasons[static_cast<std::size_t>(rank)] = fit.stop;
        });
    }
    for (auto& thread : threads) thread.join();
    REQUIRE(reasons == std::vector{coxlmm::stop_reason::callback, coxlmm::stop_reason::callback});
}

TEST_CASE("an impossible process group is refused", "[process_group]") {
    const auto x = gaussian<double>(10, 3, 1);
    REQUIRE_THAT(complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2, .group = {.rank = 2, .size = 2}}); }),
                 Contains("rank 2 and size 2"));
    REQUIRE_THAT(complaint([&] { coxlmm::semi_nmf(x, {.n_components = 2, .group = {.rank = 0, .size = 2}}); }),
                 Contains("no function to sum"));
}
