// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Eigenvalues>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "coxlmm/core/matrix.hpp"

namespace coxlmm::linalg {

struct eigenpairs {
    std::vector<double> values;  // the largest first
    matrix<double> vectors;      // one a row, orthonormal
};

/// The `n` largest eigenvalues of a symmetric matrix, of which the lower triangle is read, and their vectors.
inline eigenpairs largest_eigenpairs(const matrix<double>& symmetric, std::int64_t n) {
    using rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const std::int64_t size = symmetric.rows();
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(Eigen::Map<const rows>(symmetric.data(), size, size));
    if (solver.info() != Eigen::Success) {
        throw std::runtime_error("the eigenvalues of a symmetric matrix were not found: the iteration did not converge");
    }
    eigenpairs found{std::vector<double>(static_cast<std::size_t>(n)), matrix<double>(n, size)};
    for (std::int64_t k = 0; k < n; ++k) {
        found.values[static_cast<std::size_t>(k)] = solver.eigenvalues()(size - 1 - k);
        for (std::int64_t i = 0; i < size; ++i) found.vectors(k, i) = solver.eigenvectors()(i, size - 1 - k);
    }
    return found;
}

}  // namespace coxlmm::linalg
