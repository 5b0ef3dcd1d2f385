// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

namespace coxlmm {

/// A matrix that somebody else owns: a pointer and, for each direction, a length and a stride.
///
/// Strides are counted in elements and may have any sign, so transposed, sliced and reversed matrices are views too.
/// `T` may be const; a `matrix_ref<T>` converts to `matrix_ref<const T>`.
template <class T>
struct matrix_ref {
    using value_type = std::remove_const_t<T>;

    T* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::int64_t row_stride = 0;
    std::int64_t col_stride = 1;

    constexpr matrix_ref() = default;

    /// `rows x cols` elements in C order (row after row) without gaps.
    constexpr matrix_ref(T* pointer, std::int64_t n_rows, std::int64_t n_cols) noexcept
        : matrix_ref(pointer, n_rows, n_cols, n_cols, 1) {}

    /// Element (i, j) lies at `pointer + i * row_step + j * col_step`.
    constexpr matrix_ref(T* pointer, std::int64_t n_rows, std::int64_t n_cols, std::int64_t row_step,
                         std::int64_t col_step) noexcept
        : data(pointer), rows(n_rows), cols(n_cols), row_stride(row_step), col_stride(col_step) {}

    template <class U>
        requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
    constexpr matrix_ref(const matrix_ref<U>& other) noexcept  // NOLINT: adding const is meant to be implicit
        : matrix_ref(other.data, other.rows, other.cols, other.row_stride, other.col_stride) {}

    constexpr T& operator()(std::int64_t i, std::int64_t j) const noexcept {
        return data[i * row_stride + j * col_stride];
    }

    /// The same memory with rows and columns exchanged.
    constexpr matrix_ref transposed() const noexcept { return {data, cols, rows, col_stride, row_stride}; }
};

}  // namespace coxlmm
