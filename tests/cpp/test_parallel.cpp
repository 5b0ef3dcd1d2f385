// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/core/parallel.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

using coxlmm::thread_pool;

TEST_CASE("every task runs once, on a worker that exists", "[parallel]") {
    const int threads = GENERATE(1, 2, 5, 64);
    thread_pool pool(threads);
    CHECK(pool.size() == threads);
    for (const std::int64_t n : {0, 1, 2, 63, 1000}) {
        std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
        std::atomic<bool> strangers{false};
        pool.run(n, [&](std::int64_t i, int worker) {
            ++runs[static_cast<std::size_t>(i)];
            if (worker < 0 || worker >= threads) strangers = true;
        });
        for (const auto& count : runs) CHECK(count == 1);
        CHECK_FALSE(strangers);
    }
}

TEST_CASE("two tasks never share a worker", "[parallel]") {
    thread_pool pool(4);
    std::vector<std::atomic<int>> busy(4);
    std::atomic<bool> shared{false};
    pool.run(400, [&](std::int64_t, int worker) {
        if (busy[static_cast<std::size_t>(worker)].fetch_add(1) != 0) shared = true;
        std::this_thread::yield();
        busy[static_cast<std::size_t>(worker)].fetch_sub(1);
    });
    CHECK_FALSE(shared);
}

TEST_CASE("an exception leaves run, and the pool lives on", "[parallel]") {
    const int threads = GENERATE(1, 4);
    thread_pool pool(threads);
    CHECK_THROWS_WITH(pool.run(100,
                               [](std::int64_t i, int) {
                                   if (i == 37) throw std::runtime_error("task 37");
                               }),
                      "task 37");
    std::atomic<int> count{0};
    pool.run(100, [&](std::int64_t, int) { ++count; });
    CHECK(count == 100);
}

TEST_CASE("the checkpoint runs on the calling thread alone and can end the work", "[parallel]") {
    const int threads = GENERATE(1, 3);
    const auto caller = std::this_thread::get_id();
    std::atomic<int> elsewhere{0};
    struct enough {};
    int calls = 0;
    thread_pool pool(threads, [&] {
        if (std::this_thread::get_id() != caller) ++elsewhere;
        if (++calls == 3) throw enough{};
    });
    // Each task would take forever; only step() ends it.
    CHECK_THROWS_AS(pool.run(threads,
                             [&](std::int64_t, int) {
                                 for (;;) {
                                     std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                     pool.step();
                                 }
                             }),
                    enough);
    CHECK(calls == 3);
    CHECK(elsewhere == 0);
}

TEST_CASE("the checkpoint runs while the caller only waits", "[parallel]") {
    int calls = 0;
    struct enough {};
    thread_pool pool(2, [&] {
        if (++calls == 2) throw enough{};
    });
    // Two tasks: the caller's ends as soon as the other one has begun, and that one ends only when it is told to.
    const auto caller = std::this_thread::get_id();
    std::atomic<bool> begun{false};
    CHECK_THROWS_AS(pool.run(2,
                             [&](std::int64_t, int) {
                                 if (std::this_thread::get_id() == caller) {
                                     while (!begun) std::this_thread::yield();
                                     return;
                                 }
                                 begun = true;
                                 for (;;) {
                                     std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                     pool.step();
                                 }
                             }),
                    enough);
}

TEST_CASE("a checkpoint that has thrown is not called again while the other threads finish", "[parallel]") {
    int calls = 0;
    struct enough {};
    thread_pool pool(2, [&] {
        ++calls;
        throw enough{};
    });
    const auto caller = std::this_thread::get_id();
    std::atomic<bool> begun{false};
    CHECK_THROWS_AS(pool.run(2,
                             [&](std::int64_t, int) {
                                 if (std::this_thread::get_id() == caller) {
                                     while (!begun) std::this_thread::yield();
                                     return;
                                 }
                                 begun = true;
                                 // Longer than a few polls, and deaf: no step().
                                 std::this_thread::sleep_for(std::chrono::milliseconds(600));
                             }),
                    enough);
    CHECK(calls == 1);
}

TEST_CASE("run inside run on one pool is refused instead of waiting for itself", "[parallel]") {
    const int threads = GENERATE(1, 3);
    thread_pool pool(threads);
    CHECK_THROWS_AS(pool.run(4, [&](std::int64_t, int) { pool.run(2, [](std::int64_t, int) {}); }), std::logic_error);
    std::atomic<int> count{0};
    pool.run(10, [&](std::int64_t, int) { ++count; });
    CHECK(count == 10);
}
