// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <coxlmm/adapt/torch.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <utility>

#include "support.hpp"

using Catch::Contains;
using coxlmm::bfloat16;
using coxlmm::half;
using coxlmm::torch_view;
using namespace support;

namespace {

/// The view of `tensor` has, at every place, the value that torch says is there.
template <class T>
void shows(const at::Tensor& tensor) {
    const auto seen = torch_view<T>(tensor);
    REQUIRE(static_cast<const void*>(seen.data) == tensor.const_data_ptr());
    REQUIRE(seen.rows == tensor.size(0));
    REQUIRE(seen.cols == tensor.size(1));
    for (std::int64_t i = 0; i < seen.rows; ++i) {
        for (std::int64_t j = 0; j < seen.cols; ++j) {
            REQUIRE(static_cast<double>(seen(i, j)) == tensor.index({i, j}).item<double>());
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("a torch tensor is seen where it lies, whatever its strides", "[adapt]", float, double, half, bfloat16) {
    const auto tensor = at::randn({7, 5}).to(coxlmm::detail::torch_dtype<TestType>);
    shows<TestType>(tensor);
    shows<TestType>(tensor.t());
    shows<TestType>(tensor.slice(0, 1, 7, 2).slice(1, 1, 4));
    shows<TestType>(tensor.select(0, 2).expand({3, 5}));
    shows<TestType>(tensor.unsqueeze(1).select(1, 0));
    shows<TestType>(tensor.slice(0, 0, 0));
    shows<TestType>(tensor.clone().set_requires_grad(true));
}

TEST_CASE("a fit of a tensor is that of the same numbers elsewhere, to the bit", "[adapt]") {
    const planted<float> problem(60, 17, 3, 5, 0.2);
    const coxlmm::semi_nmf_options options{.n_components = 3, .l1 = 0.3, .max_iter = 5};
    const auto rows = at::from_blob(const_cast<float*>(problem.x.data()), {60, 17}, at::kFloat).to(at::kBFloat16);
    const auto columns = rows.t().contiguous().t();
    const auto as_floats = rows.to(at::kFloat);
    const auto expected = coxlmm::semi_nmf(torch_view<float>(as_floats), options);
    for (const auto& tensor : {rows, columns}) {
        const auto fit = coxlmm::semi_nmf(torch_view<bfloat16>(tensor), options);
        CHECK(same_bits(fit.codes, expected.codes));
        CHECK(same_bits(fit.dictionary, expected.dictionary));
    }
}

TEST_CASE("what is no matrix of this dtype on the CPU is refused, by name and with what to do", "[adapt]") {
    const auto x = at::randn({3, 4});
    const auto said = [](const at::Tensor& tensor) { return complaint([&] { torch_view<float>(tensor); }); };
    CHECK_THAT(said(at::Tensor()), Contains("undefined"));
    CHECK_THAT(said(x.to(at::kMeta)), Contains("device meta"));
    CHECK_THAT(said(x.unsqueeze(0)), Contains("3 dimensions") && Contains("[1, 3, 4]"));
    CHECK_THAT(said(x.select(0, 1)), Contains("1 dimensions") && Contains("[4]"));
    CHECK_THAT(said(x.to(at::kDouble)), Contains("dtype Double") && Contains("view is of Float"));
    CHECK_THAT(said(x.to(at::kHalf)), Contains("dtype Half"));
    CHECK_THAT(said(x.to(at::kInt)), Contains("dtype Int"));
    CHECK_THAT(said(at::randn({3, 4}, at::kComplexFloat)), Contains("dtype ComplexFloat"));
    CHECK_THAT(complaint([&] { torch_view<double>(x); }), Contains("dtype Float") && Contains("view is of Double"));
    CHECK_THAT(complaint([&] { torch_view<half>(x.to(at::kBFloat16)); }),
               Contains("dtype BFloat16") && Contains("view is of Half"));
    CHECK_THAT(said(x.to_sparse()), Contains("layout Sparse") && Contains("to_dense()"));
    CHECK_THAT(said(x.to_sparse_csr()), Contains("layout SparseCsr"));
    CHECK_THAT(said(at::_nested_tensor_from_mask(at::randn({2, 3, 4}), at::ones({2, 3}, at::kBool))), Contains("nested"));
    CHECK_THAT(said(at::imag(at::randn({3, 4}, at::kComplexFloat).conj())), Contains("resolve_neg()"));
    CHECK_THAT(said(at::_efficientzerotensor({3, 4})), Contains("stored nowhere"));
}

TEST_CASE("a tensor on an accelerator is refused with the name of its device", "[adapt]") {
    // No accelerator is needed for a tensor that says it is on one: this one has no memory anywhere.
    const auto key_set = c10::DispatchKeySet(c10::DispatchKey::CUDA);
    at::Tensor tensor(
        c10::make_intrusive<c10::TensorImpl>(key_set, caffe2::TypeMeta::Make<float>(), at::Device(at::kCUDA, 1)));
    CHECK_THAT(complaint([&] { torch_view<float>(tensor); }), Contains("device cuda:1") && Contains("tensor.cpu()"));
}
