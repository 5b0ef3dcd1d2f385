// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace coxlmm {

/// Why an iterative algorithm stopped. Running out of iterations is an outcome, not an exception.
enum class stop_reason {
    converged,  ///< the tolerance was reached
    max_iter,   ///< the iterations ran out first
    callback,   ///< the callback asked to stop
};

constexpr std::string_view to_string(stop_reason reason) noexcept {
    switch (reason) {
        case stop_reason::converged: return "converged";
        case stop_reason::max_iter: return "max_iter";
        case stop_reason::callback: return "callback";
    }
    return "unknown";
}

}  // namespace coxlmm
