// SPDX-License-Identifier: Apache-2.0
// What the torch adapter makes, decided by the compiler.
#include <coxlmm/adapt/torch.hpp>
#include <type_traits>

using coxlmm::matrix_ref;

template <class T>
concept Viewable = requires(const at::TensorBase& tensor) {
    { coxlmm::torch_view<T>(tensor) } -> std::same_as<matrix_ref<const T>>;
};

static_assert(Viewable<float>);
static_assert(Viewable<double>);
static_assert(Viewable<coxlmm::half>);
static_assert(Viewable<coxlmm::bfloat16>);
static_assert(coxlmm::MatrixView<decltype(coxlmm::torch_view<coxlmm::half>(std::declval<const at::TensorBase&>()))>);

static_assert(!Viewable<int>);
static_assert(!Viewable<long double>);
static_assert(!Viewable<const float>);
// Without torch_view nobody says which dtype is in the tensor.
static_assert(!coxlmm::MatrixView<at::TensorBase>);

int main() {}
