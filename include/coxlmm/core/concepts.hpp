// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "coxlmm/core/half.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm {

/// How a foreign matrix type becomes a `matrix_ref`. Specialise it with
///
///     static matrix_ref<const T> view(const M& m);
///
/// where `T` is the element type. The view must alias the memory of `m`: coxlmm never copies its input.
/// Headers in coxlmm/adapt/ do this for other libraries.
template <class M>
struct view_traits;

template <class T>
struct view_traits<matrix_ref<T>> {
    static constexpr matrix_ref<const std::remove_const_t<T>> view(const matrix_ref<T>& m) noexcept { return m; }
};

template <class T>
class row_blocks;

namespace detail {
template <class V>
inline constexpr bool is_floating_view = false;
template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, half> || std::same_as<T, bfloat16>)
inline constexpr bool is_floating_view<matrix_ref<const T>> = true;

template <class M>
inline constexpr bool is_row_blocks = false;
template <class T>
inline constexpr bool is_row_blocks<row_blocks<T>> = true;
}  // namespace detail

/// The type owns or refers to memory that can be seen through strides. Lazy expressions (`a + b`, `a * b`) do not:
/// evaluate them first. For a matrix of another library, include its header from coxlmm/adapt/ before the call.
template <class M>
concept ViewableWithoutCopy = detail::is_row_blocks<std::remove_cvref_t<M>> ||
                              requires(const std::remove_cvref_t<M>& m) { view_traits<std::remove_cvref_t<M>>::view(m); };

/// The elements are `float`, `double`, or `half` or `bfloat16`, which are stored so and computed with as `float`.
/// Integer matrices must be cast by the caller, who knows the scale.
template <class M>
concept HasFloatingPointElements = detail::is_row_blocks<std::remove_cvref_t<M>> || requires(const std::remove_cvref_t<M>& m) {
    requires detail::is_floating_view<decltype(view_traits<std::remove_cvref_t<M>>::view(m))>;
};

/// What the algorithms accept as samples: a matrix in one piece (MatrixView), or in several blocks (row_blocks).
template <class M>
concept SampleMatrix = ViewableWithoutCopy<M> && HasFloatingPointElements<M>;

/// A matrix in one piece.
template <class M>
concept MatrixView = SampleMatrix<M> && !detail::is_row_blocks<std::remove_cvref_t<M>>;

/// The view of `m`. It is valid as long as `m` is.
template <MatrixView M>
constexpr auto view(const M& m) {
    return view_traits<std::remove_cvref_t<M>>::view(m);
}

/// What is stored.
template <MatrixView M>
using element_t = typename decltype(view(std::declval<const M&>()))::value_type;

/// What it is computed with: `double` for `double`, `float` for all others.
template <MatrixView M>
using compute_t = std::conditional_t<std::is_same_v<element_t<M>, double>, double, float>;

}  // namespace coxlmm
