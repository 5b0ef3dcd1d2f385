// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm {

/// Throws std::invalid_argument with the parts written one after the other.
template <class... Parts>
[[noreturn]] void throw_invalid(const Parts&... parts) {
    std::ostringstream message;
    (message << ... << parts);
    throw std::invalid_argument(message.str());
}

/// Whether a value is neither NaN nor infinite; looks at the bits, so it also holds under -ffast-math.
template <class T>
constexpr bool is_finite(T value) noexcept {
    if constexpr (!std::is_same_v<T, double>) {
        return (std::bit_cast<std::uint32_t>(static_cast<float>(value)) & 0x7f800000U) != 0x7f800000U;
    } else {
        return (std::bit_cast<std::uint64_t>(value) & 0x7ff0000000000000ULL) != 0x7ff0000000000000ULL;
    }
}

/// Refuses a matrix without rows or without columns.
template <class T>
void require_nonempty(const matrix_ref<T>& m, const char* name) {
    if (m.rows < 1 || m.cols < 1) {
        throw_invalid(name, " is empty: its shape is ", m.rows, " x ", m.cols, ", and it needs at least one row and one column");
    }
    if (m.data == nullptr) throw_invalid(name, " has shape ", m.rows, " x ", m.cols, " but its pointer is null");
}

/// Refuses NaN and infinity, naming the first one of rows [first, last), whose numbers are `before` more in a larger matrix.
template <class T>
void require_finite(const matrix_ref<T>& m, const char* name, std::int64_t first, std::int64_t last, std::int64_t before = 0) {
    for (std::int64_t i = first; i < last; ++i) {
        for (std::int64_t j = 0; j < m.cols; ++j) {
            const auto value = m(i, j);
            if (!is_finite(value)) {
                throw_invalid(name, " has the value ", value, " at row ", before + i, ", column ", j,
                              ": remove or replace samples that are not finite");
            }
        }
    }
}

template <class T>
void require_finite(const matrix_ref<T>& m, const char* name) {
    require_finite(m, name, 0, m.rows);
}

}  // namespace coxlmm
