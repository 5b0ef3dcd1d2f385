// SPDX-License-Identifier: Apache-2.0
#pragma once

// xtensor 0.26 sorted its headers into folders.
#if __has_include(<xtensor/core/xexpression.hpp>)
#include <xtensor/core/xexpression.hpp>
#else
#include <xtensor/xexpression.hpp>
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <tuple>
#include <type_traits>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"

namespace coxlmm {

namespace detail {

/// The number of dimensions where the type fixes it, otherwise -1.
template <class M>
inline constexpr std::ptrdiff_t xtensor_rank = -1;
template <class M>
    requires requires { std::tuple_size<typename M::shape_type>::value; }
inline constexpr std::ptrdiff_t xtensor_rank<M> = static_cast<std::ptrdiff_t>(std::tuple_size_v<typename M::shape_type>);

template <class M>
concept XtensorWithMemory = std::derived_from<M, xt::xexpression<M>> && requires(const M& m) {
    { m.data() } -> std::same_as<const typename M::value_type*>;
    { m.data_offset() } -> std::convertible_to<std::size_t>;
    m.strides();
    m.shape();
};

}  // namespace detail

/// xtensor containers (`xarray`, `xtensor<T, 2>`, `xtensor_fixed`), what `xt::adapt` makes, and those views of them
/// that are strides over the same memory (`xt::view` with ranges and all, `xt::strided_view`, `xt::transpose`).
/// Expressions such as `a + b` have no memory, and views through `xt::keep` or a mask no strides: evaluate them first,
/// `xt::eval(a + b)`. A type with another number of dimensions than two is refused at compile time; where the number
/// is known at run time only, std::invalid_argument is thrown if it is not two.
template <class M>
    requires(detail::XtensorWithMemory<M> && (detail::xtensor_rank<M> == 2 || detail::xtensor_rank<M> == -1))
struct view_traits<M> {
    static matrix_ref<const typename M::value_type> view(const M& m) {
        const auto& shape = m.shape();
        if (shape.size() != 2) {
            std::ostringstream sizes;
            for (const auto size : shape) sizes << (sizes.tellp() > 0 ? ", " : "") << size;
            throw_invalid("the array has ", shape.size(), " dimensions, its shape is (", sizes.str(),
                          "), but a matrix has two: rows are samples, columns are features; reshape it");
        }
        const auto& strides = m.strides();
        return {m.data() + m.data_offset(), static_cast<std::int64_t>(shape[0]), static_cast<std::int64_t>(shape[1]),
                static_cast<std::int64_t>(strides[0]), static_cast<std::int64_t>(strides[1])};
    }
};

}  // namespace coxlmm
