// SPDX-License-Identifier: Apache-2.0
// What the interface takes, decided by the compiler.
#include <Eigen/Core>
#include <coxlmm/adapt/eigen.hpp>
#include <coxlmm/core/concepts.hpp>
#include <coxlmm/core/matrix.hpp>
#include <type_traits>
#include <vector>

using coxlmm::element_t;
using coxlmm::matrix;
using coxlmm::matrix_ref;
using coxlmm::MatrixView;

static_assert(MatrixView<matrix_ref<float>>);
static_assert(MatrixView<matrix_ref<const double>>);
static_assert(MatrixView<matrix<float>>);
static_assert(MatrixView<const matrix<double>&>);
static_assert(MatrixView<Eigen::MatrixXf>);
static_assert(MatrixView<Eigen::Matrix<double, 3, 4, Eigen::RowMajor>>);
static_assert(MatrixView<Eigen::ArrayXXd>);
static_assert(MatrixView<Eigen::Map<const Eigen::MatrixXf, Eigen::Unaligned, Eigen::OuterStride<>>>);
static_assert(MatrixView<Eigen::Ref<const Eigen::MatrixXd>>);
static_assert(MatrixView<decltype(std::declval<Eigen::MatrixXf>().block(0, 0, 1, 1))>);
static_assert(MatrixView<decltype(std::declval<Eigen::MatrixXf>().transpose())>);

static_assert(std::is_same_v<element_t<Eigen::MatrixXf>, float>);
static_assert(std::is_same_v<element_t<matrix_ref<const double>>, double>);

// Const may be added, never taken away.
static_assert(std::is_convertible_v<matrix_ref<float>, matrix_ref<const float>>);
static_assert(!std::is_convertible_v<matrix_ref<const float>, matrix_ref<float>>);
static_assert(!std::is_convertible_v<matrix_ref<float>, matrix_ref<const double>>);

// No memory behind them, no strides, or elements that are not real numbers of a known precision.
static_assert(!MatrixView<decltype(std::declval<Eigen::MatrixXf>() + std::declval<Eigen::MatrixXf>())>);
static_assert(!MatrixView<decltype(std::declval<Eigen::MatrixXf>() * std::declval<Eigen::MatrixXf>())>);
static_assert(!MatrixView<decltype(std::declval<Eigen::MatrixXf>().cast<double>())>);
static_assert(!MatrixView<Eigen::MatrixXi>);
static_assert(!MatrixView<Eigen::MatrixXcf>);
static_assert(!MatrixView<matrix<int>>);
static_assert(!MatrixView<std::vector<float>>);
static_assert(!MatrixView<float*>);

int main() {}
