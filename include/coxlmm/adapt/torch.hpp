// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/TensorBase.h>

#include <concepts>
#include <cstdint>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"

namespace coxlmm {

namespace detail {

/// The dtype of a tensor whose elements are seen as T.
template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, half> || std::same_as<T, bfloat16>)
inline constexpr at::ScalarType torch_dtype = std::same_as<T, double>  ? at::ScalarType::Double
                                              : std::same_as<T, float> ? at::ScalarType::Float
                                              : std::same_as<T, half>  ? at::ScalarType::Half
                                                                       : at::ScalarType::BFloat16;

/// Refuses a tensor that is nothing the CPU could read through strides.
inline void require_strided_on_cpu(const at::TensorBase& tensor) {
    if (!tensor.defined()) throw_invalid("the tensor is undefined: it was default-constructed, or moved from");
    if (tensor.is_meta())
        throw_invalid("the tensor is on device meta, where there is a shape but no data: load its values first");
    if (!tensor.is_cpu()) {
        throw_invalid("the tensor is on device ", tensor.device().str(),
                      ", but coxlmm reads the memory of the CPU and copies nothing on its own: pass tensor.cpu()");
    }
    if (tensor.layout() != at::kStrided) {
        throw_invalid("the tensor has layout ", tensor.layout(), ", which has no strides: pass tensor.to_dense()");
    }
    if (tensor.is_nested()) throw_invalid("the tensor is nested, so its rows differ in length: pad it to a matrix");
}

}  // namespace detail

/// A torch tensor, n_samples x n_features, as a matrix: the same memory and the same strides, nothing is copied.
///
/// `T` is `float`, `double`, `coxlmm::half` (a tensor of `torch::kHalf`) or `coxlmm::bfloat16` (`torch::kBFloat16`). The
/// view is valid as long as the memory is, and does not keep it alive: hold a tensor that shares it, and do not resize that
/// one.
///
/// Throws std::invalid_argument, saying what it got and what to do, unless the tensor is on the CPU, strided, of two
/// dimensions and of exactly the dtype of `T`.
template <class T>
    requires requires { detail::torch_dtype<T>; }
matrix_ref<const T> torch_view(const at::TensorBase& tensor) {
    detail::require_strided_on_cpu(tensor);
    if (tensor.dim() != 2) {
        throw_invalid("the tensor has ", tensor.dim(), " dimensions, its shape is ", tensor.sizes(),
                      ", but a matrix has two: rows are samples, columns are features; reshape it");
    }
    if (tensor.scalar_type() != detail::torch_dtype<T>) {
        throw_invalid(
            "the tensor has dtype ", tensor.scalar_type(), ", but this view is of ", detail::torch_dtype<T>,
            ": take the torch_view<T> of its dtype (float, double, coxlmm::half, coxlmm::bfloat16), or convert it with"
            " tensor.to()");
    }
    if (tensor.is_neg()) throw_invalid("the tensor is the negative of what is in memory: pass tensor.resolve_neg()");
    if (!tensor.has_storage() || (tensor.numel() > 0 && tensor.const_data_ptr() == nullptr)) {
        throw_invalid("the tensor's elements are stored nowhere: pass tensor.clone()");
    }
    return {static_cast<const T*>(tensor.const_data_ptr()), tensor.size(0), tensor.size(1), tensor.stride(0),
            tensor.stride(1)};
}

}  // namespace coxlmm
