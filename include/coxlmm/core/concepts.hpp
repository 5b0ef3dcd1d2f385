// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

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

/// The type owns or refers to memory that can be seen through strides. Lazy expressions (`a + b`, `a * b`) do not:
/// evaluate them first. For a matrix of another library, include its header from coxlmm/adapt/ before the call.
template <class M>
concept ViewableWithoutCopy = requires(const std::remove_cvref_t<M>& m) { view_traits<std::remove_cvref_t<M>>::view(m); };

/// The elements are `float` or `double`. Integer matrices must be cast by the caller, who knows the scale.
template <class M>
concept HasFloatOrDoubleElements = requires(const std::remove_cvref_t<M>& m) {
    requires std::same_as<decltype(view_traits<std::remove_cvref_t<M>>::view(m)), matrix_ref<const float>> ||
                 std::same_as<decltype(view_traits<std::remove_cvref_t<M>>::view(m)), matrix_ref<const double>>;
};

/// What every algorithm of coxlmm accepts as a matrix.
template <class M>
concept MatrixView = ViewableWithoutCopy<M> && HasFloatOrDoubleElements<M>;

/// The view of `m`. It is valid as long as `m` is.
template <MatrixView M>
constexpr auto view(const M& m) {
    return view_traits<std::remove_cvref_t<M>>::view(m);
}

template <MatrixView M>
using element_t = typename decltype(view(std::declval<const M&>()))::value_type;

/// Both matrices are `float`, or both are `double`: which one to convert is the caller's decision.
template <class M, class U>
concept HaveSamePrecision = std::same_as<element_t<M>, element_t<U>>;

}  // namespace coxlmm
