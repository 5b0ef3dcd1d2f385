// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <coxlmm/core/matrix.hpp>
#include <coxlmm/core/random.hpp>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

/// What the tests share: problems with known answers, and measures written the slow, obvious way, in double, without
/// any of the library's kernels.
namespace support {

using coxlmm::matrix;
using coxlmm::random_source;

/// Relative precision that results of type T are held to.
template <class T>
constexpr double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-9;

template <class T>
matrix<T> gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
    random_source random(seed);
    matrix<T> m(rows, cols);
    for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<T>(random.normal());
    return m;
}

template <class T>
void scale_rows_to_one(matrix<T>& m) {
    for (std::int64_t i = 0; i < m.rows(); ++i) {
        double squared = 0;
        for (std::int64_t j = 0; j < m.cols(); ++j) squared += static_cast<double>(m(i, j)) * static_cast<double>(m(i, j));
        for (std::int64_t j = 0; j < m.cols(); ++j) m(i, j) = static_cast<T>(static_cast<double>(m(i, j)) / std::sqrt(squared));
    }
}

/// Samples that are sparse nonnegative combinations of unit atoms, plus noise and a common offset.
template <class T>
struct planted {
    matrix<T> x;
    matrix<T> dictionary;
    matrix<T> codes;

    planted(std::int64_t n_samples, std::int64_t n_features, std::int64_t n_atoms, std::uint64_t seed, double noise,
            double offset = 0)
        : x(n_samples, n_features), dictionary(gaussian<T>(n_atoms, n_features, seed)), codes(n_samples, n_atoms) {
        scale_rows_to_one(dictionary);
        random_source random(seed + 1);
        for (std::int64_t i = 0; i < codes.size(); ++i) {
            codes.data()[i] = random.uniform() < 0.25 ? static_cast<T>(1 + 3 * random.uniform()) : T{};
        }
        for (std::int64_t i = 0; i < n_samples; ++i) {
            for (std::int64_t d = 0; d < n_features; ++d) {
                double value = offset + noise * random.normal();
                for (std::int64_t k = 0; k < n_atoms; ++k) {
                    value += static_cast<double>(codes(i, k)) * static_cast<double>(dictionary(k, d));
                }
                x(i, d) = static_cast<T>(value);
            }
        }
    }
};

/// x - v U of one sample.
template <class T>
double residual(const matrix<T>& x, const matrix<T>& codes, const matrix<T>& dictionary, std::int64_t i, std::int64_t d) {
    double value = static_cast<double>(x(i, d));
    for (std::int64_t k = 0; k < codes.cols(); ++k) {
        value -= static_cast<double>(codes(i, k)) * static_cast<double>(dictionary(k, d));
    }
    return value;
}

/// ||X - codes dictionary||_F^2 + l1 * sum |codes|
template <class T>
double objective(const matrix<T>& x, const matrix<T>& codes, const matrix<T>& dictionary, double l1) {
    double total = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        for (std::int64_t d = 0; d < x.cols(); ++d) total += std::pow(residual(x, codes, dictionary, i, d), 2);
        for (std::int64_t k = 0; k < codes.cols(); ++k) total += l1 * std::abs(static_cast<double>(codes(i, k)));
    }
    return total;
}

template <class T>
double row_norm(const matrix<T>& m, std::int64_t i) {
    double squared = 0;
    for (std::int64_t j = 0; j < m.cols(); ++j) squared += std::pow(static_cast<double>(m(i, j)), 2);
    return std::sqrt(squared);
}

/// The largest projected gradient in the codes, over 2 |x| |u_k|.
template <class T>
double kkt_of_codes(const matrix<T>& x, const matrix<T>& codes, const matrix<T>& dictionary, double l1) {
    double worst = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        const double norm = row_norm(x, i);
        for (std::int64_t k = 0; k < codes.cols(); ++k) {
            double gradient = l1;
            for (std::int64_t d = 0; d < x.cols(); ++d) {
                gradient -= 2 * residual(x, codes, dictionary, i, d) * static_cast<double>(dictionary(k, d));
            }
            const double violation = codes(i, k) > 0 ? std::abs(gradient) : std::max(-gradient, 0.0);
            const double scale = 2 * norm * row_norm(dictionary, k);
            if (violation > 0) worst = std::max(worst, scale > 0 ? violation / scale : violation);
        }
    }
    return worst;
}

/// How far the atoms are from stationary on the unit ball: the gradient in u_k over 2 |v_k| |X|_F, without its part
/// that the ball holds up (inward along u_k where |u_k| = 1).
template <class T>
double kkt_of_atoms(const matrix<T>& x, const matrix<T>& codes, const matrix<T>& dictionary) {
    double x_squared = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) x_squared += std::pow(row_norm(x, i), 2);
    double worst = 0;
    for (std::int64_t k = 0; k < dictionary.rows(); ++k) {
        matrix<double> gradient(1, x.cols());
        double code_squared = 0;
        for (std::int64_t i = 0; i < x.rows(); ++i) {
            const auto code = static_cast<double>(codes(i, k));
            code_squared += code * code;
            if (code == 0) continue;
            for (std::int64_t d = 0; d < x.cols(); ++d) gradient(0, d) -= code * residual(x, codes, dictionary, i, d);
        }
        if (code_squared == 0) continue;
        double along = 0;
        for (std::int64_t d = 0; d < x.cols(); ++d) along += gradient(0, d) * static_cast<double>(dictionary(k, d));
        // On the sphere a descent direction that leaves the ball is no descent: remove -gradient's outward part.
        const bool on_sphere = row_norm(dictionary, k) > 1 - 1e-5;
        double left = 0;
        for (std::int64_t d = 0; d < x.cols(); ++d) {
            const double held = on_sphere && along < 0 ? along * static_cast<double>(dictionary(k, d)) : 0.0;
            left += std::pow(gradient(0, d) - held, 2);
        }
        worst = std::max(worst, std::sqrt(left / (code_squared * x_squared)));
    }
    return worst;
}

/// For every planted atom the cosine to the nearest found one; the least of them.
template <class T>
double worst_match(const matrix<T>& planted_atoms, const matrix<T>& found) {
    double worst = 1;
    for (std::int64_t k = 0; k < planted_atoms.rows(); ++k) {
        double best = -1;
        for (std::int64_t l = 0; l < found.rows(); ++l) {
            double dot = 0;
            for (std::int64_t d = 0; d < found.cols(); ++d) {
                dot += static_cast<double>(planted_atoms(k, d)) * static_cast<double>(found(l, d));
            }
            best = std::max(best, dot / (row_norm(planted_atoms, k) * row_norm(found, l)));
        }
        worst = std::min(worst, best);
    }
    return worst;
}

template <class T>
double largest_difference(const matrix<T>& a, const matrix<T>& b) {
    if (a.rows() != b.rows() || a.cols() != b.cols()) return INFINITY;
    double largest = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
    }
    return largest;
}

template <class T>
bool same_bits(const matrix<T>& a, const matrix<T>& b) {
    return a.rows() == b.rows() && a.cols() == b.cols() && std::equal(a.data(), a.data() + a.size(), b.data());
}

/// The message of the std::invalid_argument that `call` throws; a text that no test expects if it throws none.
inline std::string complaint(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "(no complaint)";
}

}  // namespace support
