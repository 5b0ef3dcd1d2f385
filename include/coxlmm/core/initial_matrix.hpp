// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm {

/// A start that may be given, of either precision. It is read before the algorithm returns.
using initial_matrix = std::variant<std::monostate, matrix_ref<const float>, matrix_ref<const double>>;

/// The start in T, if there is one. `name` is what complaints call it, `wanted` what its shape stands for. Refuses
/// another shape than rows x cols, NaN and infinity, and values that T cannot hold, with their row and column.
template <class T>
std::optional<matrix<T>> read_initial(const initial_matrix& initial, std::int64_t rows, std::int64_t cols, const char* name,
                                      const char* wanted) {
    std::optional<matrix<T>> start;
    std::visit(
        [&]<class I>(const I& given) {
            if constexpr (!std::is_same_v<I, std::monostate>) {
                if (given.rows != rows || given.cols != cols) {
                    throw_invalid("the ", name, " have shape ", given.rows, " x ", given.cols, " but ", wanted, " is ", rows, " x ", cols);
                }
                const std::string whole = std::string("the matrix of ") + name;
                require_nonempty(given, whole.c_str());
                require_finite(given, whole.c_str());
                start.emplace(rows, cols);
                for (std::int64_t i = 0; i < rows; ++i) {
                    for (std::int64_t j = 0; j < cols; ++j) {
                        const auto value = static_cast<double>(given(i, j));
                        constexpr auto most = static_cast<double>(std::numeric_limits<T>::max());
                        if (value > most || value < -most) {
                            throw_invalid("the ", name, " have the value ", value, " at row ", i, ", column ", j,
                                          ", which float cannot hold: scale them down or give X in double");
                        }
                        (*start)(i, j) = static_cast<T>(value);
                    }
                }
            }
        },
        initial);
    return start;
}

}  // namespace coxlmm
