// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/Householder>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"

/// The largest eigenvalues of a symmetric matrix and their vectors.
namespace coxlmm::linalg {

struct eigenpairs {
    std::vector<double> values;  // the largest first
    matrix<double> vectors;      // one a row, orthonormal
};

inline void require_converged(const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>& solver) {
    if (solver.info() != Eigen::Success) {
        throw std::runtime_error("the eigenvalues of a symmetric matrix were not found: the iteration did not converge");
    }
}

/// (T - shift) x = y for a symmetric tridiagonal T, by elimination with row exchanges. A pivot that vanishes, as it does
/// where the shift is an eigenvalue, becomes the smallest that matters.
class shifted_tridiagonal {
public:
    shifted_tridiagonal(const std::vector<double>& diagonal, const std::vector<double>& off, double shift, double smallest)
        : pivot_(diagonal), first_(off), second_(off.size(), 0.0), factor_(off.size()), exchanged_(off.size()) {
        for (double& d : pivot_) d -= shift;
        for (std::size_t i = 0; i + 1 < pivot_.size(); ++i) {
            const bool last = i + 2 == pivot_.size();
            double below = off[i];
            exchanged_[i] = std::abs(below) > std::abs(pivot_[i]);
            if (exchanged_[i]) {
                std::swap(pivot_[i], below);
                std::swap(first_[i], pivot_[i + 1]);
                if (!last) {
                    second_[i] = first_[i + 1];
                    first_[i + 1] = 0;
                }
            }
            if (std::abs(pivot_[i]) < smallest) pivot_[i] = smallest;
            factor_[i] = below / pivot_[i];
            pivot_[i + 1] -= factor_[i] * first_[i];
            if (!last) first_[i + 1] -= factor_[i] * second_[i];
        }
        if (std::abs(pivot_.back()) < smallest) pivot_.back() = smallest;
    }

    void solve(double* x) const {
        const std::size_t n = pivot_.size();
        for (std::size_t i = 0; i + 1 < n; ++i) {
            if (exchanged_[i]) std::swap(x[i], x[i + 1]);
            x[i + 1] -= factor_[i] * x[i];
        }
        for (std::size_t i = n; i-- > 0;) {
            if (i + 1 < n) x[i] -= first_[i] * x[i + 1];
            if (i + 2 < n) x[i] -= second_[i] * x[i + 2];
            x[i] /= pivot_[i];
        }
    }

private:
    std::vector<double> pivot_;
    std::vector<double> first_;   // right of the pivots
    std::vector<double> second_;  // right of these, where rows were exchanged
    std::vector<double> factor_;
    std::vector<char> exchanged_;
};

/// The `n` largest eigenvalues of `symmetric`, of which the upper triangle is read and which is used up, and their
/// vectors: Householder's tridiagonal form, all eigenvalues of it, and inverse iteration for the vectors that are asked
/// for (Golub and Van Loan, Matrix Computations, chapter 8). 4/3 size^3 flops, and few more for a small n. `pool` is only
/// asked whether to go on.
inline eigenpairs largest_eigenpairs(matrix<double> symmetric, std::int64_t n, thread_pool& pool) {
    using vector = Eigen::Map<Eigen::VectorXd>;
    const std::int64_t size = symmetric.rows();
    eigenpairs found{std::vector<double>(static_cast<std::size_t>(n)), matrix<double>(n, size)};
    // Seen by columns, the upper triangle is the lower one.
    Eigen::Map<Eigen::MatrixXd, Eigen::Unaligned, Eigen::OuterStride<>> a(symmetric.data(), size, size,
                                                                          Eigen::OuterStride<>(symmetric.cols()));
    // Squares of the entries are to be neither too large nor too small, and neither are solutions of singular systems.
    double unit = 0;
    for (std::int64_t i = 0; i < size; ++i) {
        for (std::int64_t j = i; j < size; ++j) unit = std::max(unit, std::abs(symmetric(i, j)));
    }
    if (!(unit > 0)) unit = 1;
    for (std::int64_t i = 0; i < symmetric.size(); ++i) symmetric.data()[i] /= unit;
    if (size <= 200) {
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(a);
        require_converged(solver);
        for (std::int64_t k = 0; k < n; ++k) {
            found.values[static_cast<std::size_t>(k)] = unit * solver.eigenvalues()(size - 1 - k);
            vector(found.vectors.row(k), size) = solver.eigenvectors().col(size - 1 - k);
        }
        return found;
    }

    std::vector<double> diagonal(static_cast<std::size_t>(size));
    std::vector<double> off(static_cast<std::size_t>(size - 1));
    std::vector<double> reflector(static_cast<std::size_t>(size - 1));
    Eigen::VectorXd product(size);
    for (std::int64_t i = 0; i + 1 < size; ++i) {
        pool.step();
        const std::int64_t left = size - i - 1;
        auto column = a.col(i).tail(left);
        double scale = 0;
        double beta = 0;
        column.makeHouseholderInPlace(scale, beta);
        column(0) = 1;
        auto image = product.head(left);
        image.noalias() = a.bottomRightCorner(left, left).template selfadjointView<Eigen::Lower>() * (scale * column);
        image -= (0.5 * scale * image.dot(column)) * column;
        a.bottomRightCorner(left, left).template selfadjointView<Eigen::Lower>().rankUpdate(column, image, -1.0);
        off[static_cast<std::size_t>(i)] = beta;
        reflector[static_cast<std::size_t>(i)] = scale;
    }
    for (std::int64_t i = 0; i < size; ++i) diagonal[static_cast<std::size_t>(i)] = a(i, i);

    Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
    solver.computeFromTridiagonal(vector(diagonal.data(), size), vector(off.data(), size - 1), Eigen::EigenvaluesOnly);
    require_converged(solver);
    const double norm = std::max(std::abs(solver.eigenvalues()(0)), std::abs(solver.eigenvalues()(size - 1)));
    const double rounding = std::max(norm, 1.0) * std::numeric_limits<double>::epsilon();
    random_source random(0);
    double shift = 0;
    for (std::int64_t k = 0; k < n; ++k) {
        pool.step();
        const double value = solver.eigenvalues()(size - 1 - k);
        found.values[static_cast<std::size_t>(k)] = unit * value;
        // Shifts of equal eigenvalues are kept apart, so that each finds a direction of its own.
        shift = k == 0 ? value : std::min(value, shift - 4 * rounding);
        const shifted_tridiagonal system(diagonal, off, shift, rounding);
        vector z(found.vectors.row(k), size);
        for (std::int64_t i = 0; i < size; ++i) z(i) = random.uniform() - 0.5;
        for (int step = 0; step < 4; ++step) {
            system.solve(z.data());
            z.normalize();
            for (int twice = 0; twice < 2; ++twice) {
                for (std::int64_t j = 0; j < k; ++j) {
                    const vector other(found.vectors.row(j), size);
                    z -= other.dot(z) * other;
                }
                z.normalize();
            }
        }
    }
    for (std::int64_t k = 0; k < n; ++k) {
        vector z(found.vectors.row(k), size);
        for (std::int64_t i = size - 1; i-- > 0;) {
            const auto column = a.col(i).tail(size - i - 1);
            z.tail(size - i - 1) -= (reflector[static_cast<std::size_t>(i)] * column.dot(z.tail(size - i - 1))) * column;
        }
        pool.step();
    }
    return found;
}

}  // namespace coxlmm::linalg
