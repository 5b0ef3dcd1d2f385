// SPDX-License-Identifier: Apache-2.0
// What the interface takes of xtensor, decided by the compiler, whichever folders xtensor's headers lie in.
#include <array>
#include <coxlmm/adapt/xtensor.hpp>
#include <coxlmm/coxlmm.hpp>
#include <type_traits>
#include <vector>
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xfixed.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/views/xbroadcast.hpp>
#include <xtensor/views/xstrided_view.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xbroadcast.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

using coxlmm::MatrixView;

using matrix = xt::xtensor<float, 2>;
using cube = xt::xtensor<float, 3>;
using any_rank = xt::xarray<double>;

static_assert(MatrixView<matrix>);
static_assert(MatrixView<any_rank>);
static_assert(MatrixView<const any_rank&>);
static_assert(MatrixView<xt::xtensor<double, 2, xt::layout_type::column_major>>);
static_assert(MatrixView<xt::xarray<float, xt::layout_type::dynamic>>);
static_assert(MatrixView<xt::xtensor_fixed<float, xt::xshape<3, 4>>>);
static_assert(MatrixView<xt::xtensor<coxlmm::half, 2>>);
static_assert(MatrixView<xt::xarray<coxlmm::bfloat16>>);
static_assert(MatrixView<decltype(xt::adapt(std::declval<std::vector<float>&>(), {3, 4}))>);
static_assert(MatrixView<decltype(xt::adapt(std::declval<const double*>(), 12, xt::no_ownership(),
                                            std::array<std::size_t, 2>{3, 4}))>);
static_assert(MatrixView<decltype(xt::view(std::declval<matrix&>(), xt::range(0, 2), xt::all()))>);
static_assert(MatrixView<decltype(xt::view(std::declval<cube&>(), xt::all(), 1, xt::all()))>);
static_assert(MatrixView<decltype(xt::strided_view(std::declval<any_rank&>(), {xt::range(0, 9, 3), xt::all()}))>);
static_assert(MatrixView<decltype(xt::transpose(std::declval<matrix&>()))>);
static_assert(MatrixView<decltype(xt::eval(std::declval<matrix&>() + 1.0F))>);

static_assert(std::is_same_v<coxlmm::element_t<matrix>, float>);
static_assert(std::is_same_v<coxlmm::compute_t<xt::xarray<coxlmm::half>>, float>);

// No memory behind them, no strides, another rank, or elements that are not real numbers of a known precision.
static_assert(!MatrixView<decltype(std::declval<matrix&>() + std::declval<matrix&>())>);
static_assert(!MatrixView<decltype(xt::view(std::declval<matrix&>() * 2.0F, xt::range(0, 2), xt::all()))>);
static_assert(!MatrixView<decltype(xt::transpose(std::declval<matrix&>() * 2.0F))>);
static_assert(!MatrixView<decltype(xt::broadcast(std::declval<matrix&>(), {3, 4}))>);
static_assert(!MatrixView<decltype(xt::view(std::declval<matrix&>(), xt::keep(0, 2), xt::all()))>);
static_assert(!MatrixView<decltype(xt::view(std::declval<matrix&>(), 0, xt::all()))>);
static_assert(!MatrixView<cube>);
static_assert(!MatrixView<xt::xtensor<float, 1>>);
static_assert(!MatrixView<xt::xtensor_fixed<float, xt::xshape<3, 4, 5>>>);
static_assert(!MatrixView<xt::xtensor<int, 2>>);
static_assert(!MatrixView<xt::xtensor<long double, 2>>);

int main() {}
