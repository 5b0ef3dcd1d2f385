// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm {

/// A matrix that owns its memory: rows one after the other without gaps, the first on a 64-byte boundary (one cache
/// line, one AVX-512 register), zero-filled at construction.
template <class T>
class matrix {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_const_v<T>);

public:
    using value_type = T;
    static constexpr std::size_t alignment = 64;

    matrix() = default;

    matrix(std::int64_t rows, std::int64_t cols) : rows_(rows), cols_(cols), memory_(allocate(rows, cols)) {
        std::fill_n(data(), size(), T{});
    }

    matrix(const matrix& other) : rows_(other.rows_), cols_(other.cols_), memory_(allocate(rows_, cols_)) {
        std::copy_n(other.data(), size(), data());
    }

    matrix(matrix&& other) noexcept
        : rows_(std::exchange(other.rows_, 0)), cols_(std::exchange(other.cols_, 0)), memory_(std::move(other.memory_)) {}

    matrix& operator=(matrix other) noexcept {
        std::swap(rows_, other.rows_);
        std::swap(cols_, other.cols_);
        std::swap(memory_, other.memory_);
        return *this;
    }

    ~matrix() = default;

    T* data() noexcept { return memory_.get(); }
    const T* data() const noexcept { return memory_.get(); }
    std::int64_t rows() const noexcept { return rows_; }
    std::int64_t cols() const noexcept { return cols_; }
    std::int64_t size() const noexcept { return rows_ * cols_; }

    T& operator()(std::int64_t i, std::int64_t j) noexcept { return memory_[offset(i, j)]; }
    const T& operator()(std::int64_t i, std::int64_t j) const noexcept { return memory_[offset(i, j)]; }

    T* row(std::int64_t i) noexcept { return memory_.get() + i * cols_; }
    const T* row(std::int64_t i) const noexcept { return memory_.get() + i * cols_; }

    matrix_ref<T> ref() noexcept { return {data(), rows_, cols_}; }
    matrix_ref<const T> ref() const noexcept { return {data(), rows_, cols_}; }

private:
    struct aligned_delete {
        void operator()(T* p) const noexcept { ::operator delete(p, std::align_val_t{alignment}); }
    };
    using memory = std::unique_ptr<T[], aligned_delete>;

    static memory allocate(std::int64_t rows, std::int64_t cols) {
        constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(sizeof(T));
        if (rows < 0 || cols < 0 || (cols > 0 && rows > most / cols)) throw std::bad_array_new_length();
        const auto bytes = std::max<std::size_t>(static_cast<std::size_t>(rows * cols) * sizeof(T), 1);
        return memory(static_cast<T*>(::operator new(bytes, std::align_val_t{alignment})));
    }

    std::size_t offset(std::int64_t i, std::int64_t j) const noexcept { return static_cast<std::size_t>(i * cols_ + j); }

    std::int64_t rows_ = 0;
    std::int64_t cols_ = 0;
    memory memory_;
};

template <class T>
struct view_traits<matrix<T>> {
    static matrix_ref<const T> view(const matrix<T>& m) noexcept { return m.ref(); }
};

}  // namespace coxlmm
