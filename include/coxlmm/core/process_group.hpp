// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace coxlmm {

/// Several processes that each hold some of the samples and find one dictionary together.
struct process_group {
    int rank = 0;  ///< of this process: 0, ..., size - 1
    int size = 1;
    /// Replaces the n values by their sums over all processes, the same bits in each: an all-reduce. All processes call
    /// the algorithm with the same options, and it calls this equally often in each. Where one throws, the others wait:
    /// give the transport a time limit.
    std::function<void(double* values, std::int64_t n)> sum = {};

    bool alone() const noexcept { return size == 1; }
};

}  // namespace coxlmm
