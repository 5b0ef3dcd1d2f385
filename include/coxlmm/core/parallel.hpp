// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"

namespace coxlmm {

/// `n_threads` as the user gave it -> how many threads to run: 0 means all that the process may use.
inline int resolve_threads(int n_threads) {
    if (n_threads < 0) throw_invalid("n_threads is ", n_threads, ": give 0 for all processors, or a positive number");
    if (n_threads > 0) return std::min(n_threads, 1024);
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// A handful of threads that sleep between jobs.
///
/// Own threads rather than OpenMP: two pools that spin side by side (ours and a BLAS) cost more than twice the time,
/// and the sanitizers see through std::thread. The calling thread works too, and it alone runs `checkpoint`: about ten
/// times a second while a job runs. Whatever a task or `checkpoint` throws leaves `run` once all threads are quiet.
class thread_pool {
public:
    explicit thread_pool(int n_threads = 0, std::function<void()> checkpoint = {})
        : n_threads_(resolve_threads(n_threads)), checkpoint_(std::move(checkpoint)) {}

    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    ~thread_pool() {
        {
            const std::lock_guard lock(mutex_);
            quit_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int size() const noexcept { return n_threads_; }

    /// Runs `task(i, worker)` for i = 0, ..., n_tasks - 1 in any order on any thread; `worker` in {0, ..., size() - 1}
    /// says whose scratch memory the task may use. For the same bits on any number of threads, let results depend on
    /// i alone.
    ///
    /// Throws std::logic_error when called from a task of the same pool: its threads are taken. Give the task a pool of
    /// one thread.
    template <class Task>
    void run(std::int64_t n_tasks, const Task& task) {
        if (n_tasks < 1) return;
        if (running_.exchange(true)) throw std::logic_error("thread_pool::run was called while it runs: give the task a pool of its own");
        const struct release {
            std::atomic<bool>& running;
            ~release() { running.store(false); }
        } at_exit{running_};
        if (n_threads_ == 1 || n_tasks == 1) {
            for (std::int64_t i = 0; i < n_tasks; ++i) {
                task(i, 0);
                poll_from_caller();
            }
            return;
        }
        start_workers();
        {
            const std::lock_guard lock(mutex_);
            job_ = [&task](std::int64_t i, int worker) { task(i, worker); };
            n_tasks_ = n_tasks;
            next_.store(0);
            failure_ = nullptr;
            cancelled_.store(false);
            active_ = static_cast<int>(workers_.size());
            ++generation_;
        }
        wake_.notify_all();
        work(0);
        std::unique_lock lock(mutex_);
        while (!done_.wait_for(lock, std::chrono::milliseconds(50), [this] { return active_ == 0; })) {
            // After a failure only the threads are waited for: a checkpoint that has thrown is not asked again.
            if (cancelled_.load()) continue;
            lock.unlock();
            try {
                poll_from_caller();
            } catch (...) {
                fail(std::current_exception());
            }
            lock.lock();
        }
        job_ = nullptr;
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

    /// For long tasks: to be called between their steps. On the calling thread it may run `checkpoint`; elsewhere it
    /// leaves the task at once when another one has failed.
    void step() {
        // A pool of one thread is used by one thread at a time, which may be another one in every job.
        if (n_threads_ == 1 || std::this_thread::get_id() == owner_) {
            poll_from_caller();
        } else if (cancelled_.load(std::memory_order_relaxed)) {
            throw cancelled{};
        }
    }

private:
    struct cancelled {};

    void start_workers() {
        while (static_cast<int>(workers_.size()) < n_threads_ - 1) {
            workers_.emplace_back([this, seen = generation_, index = static_cast<int>(workers_.size()) + 1]() mutable {
                for (;;) {
                    {
                        std::unique_lock lock(mutex_);
                        wake_.wait(lock, [&] { return quit_ || generation_ != seen; });
                        if (quit_) return;
                        seen = generation_;
                    }
                    work(index);
                    const std::lock_guard lock(mutex_);
                    if (--active_ == 0) done_.notify_one();
                }
            });
        }
    }

    void work(int worker) noexcept {
        try {
            for (;;) {
                if (cancelled_.load(std::memory_order_relaxed)) return;
                const std::int64_t i = next_.fetch_add(1);
                if (i >= n_tasks_) return;
                job_(i, worker);
                if (worker == 0) poll_from_caller();
            }
        } catch (const cancelled&) {
            return;
        } catch (...) {
            fail(std::current_exception());
        }
    }

    void fail(std::exception_ptr error) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::move(error);
        cancelled_.store(true);
    }

    void poll_from_caller() {
        if (!checkpoint_) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_poll_ < std::chrono::milliseconds(100)) return;
        last_poll_ = now;
        checkpoint_();
    }

    int n_threads_;
    std::function<void()> checkpoint_;
    std::thread::id owner_ = std::this_thread::get_id();
    std::chrono::steady_clock::time_point last_poll_ = std::chrono::steady_clock::now();

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    std::function<void(std::int64_t, int)> job_;
    std::int64_t n_tasks_ = 0;
    std::atomic<std::int64_t> next_{0};
    std::atomic<bool> cancelled_{false};
    std::exception_ptr failure_;
    std::uint64_t generation_ = 0;
    int active_ = 0;
    std::atomic<bool> running_{false};
    bool quit_ = false;
};

}  // namespace coxlmm
