// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coxlmm/linalg/nonnegative_cd.hpp"

/// Exact nonnegative lasso for a single sample, where coordinate descent would crawl: nearly parallel atoms.
namespace coxlmm::linalg {

/// The active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23) on the Gram matrix,
/// started from the support of a given code:
///
///     minimise over v >= 0   v^T G v - 2 v^T (c - l1 / 2).
class active_set_solver {
public:
    explicit active_set_solver(std::int64_t n_atoms) {
        const auto n = static_cast<std::size_t>(n_atoms);
        target_.resize(n);
        trial_.resize(n);
        in_support_.resize(n);
        factor_.resize(n * n);
    }

    /// `c` and `v` with stride `stride`; `gram` of as many atoms as the solver was made for. Stops when no atom outside the support would lower the objective at a rate
    /// above tol * sample_norm * |u_k|, or after `max_changes` additions to the support.
    void solve(const gram_matrix& gram, const double* c, double* v, std::int64_t stride, double l1, double tol, double sample_norm,
               std::int64_t max_changes) {
        const std::int64_t n = gram.n_atoms;
        support_.clear();
        factored_ = 0;
        for (std::int64_t k = 0; k < n; ++k) {
            target_[index(k)] = c[k * stride] - 0.5 * l1;
            in_support_[index(k)] = v[k * stride] > 0;
            if (in_support_[index(k)]) support_.push_back(k);
        }
        settle(gram, v, stride);
        for (std::int64_t change = 0; change < max_changes; ++change) {
            std::int64_t best = -1;
            double steepest = tol * sample_norm;
            for (std::int64_t k = 0; k < n; ++k) {
                if (in_support_[index(k)] || !(gram.norm(k) > 0)) continue;
                double slope = target_[index(k)];
                for (const std::int64_t j : support_) slope -= gram.row(k)[j] * v[j * stride];
                slope /= gram.norm(k);
                if (slope > steepest) {
                    steepest = slope;
                    best = k;
                }
            }
            if (best < 0) return;
            support_.push_back(best);
            in_support_[index(best)] = true;
            // A direction in the span of the support changes no sample, but what the codes cost.
            if (!factorize(gram) && !exchange(v, stride)) {
                remove(support_.size() - 1);
                return;
            }
            settle(gram, v, stride);
        }
    }

private:
    static std::size_t index(std::int64_t k) { return static_cast<std::size_t>(k); }

    /// Moves to the optimum on the support, leaving atoms behind whose codes would turn negative on the way.
    void settle(const gram_matrix& gram, double* v, std::int64_t stride) {
        while (!support_.empty()) {
            while (!factorize(gram)) {
                v[support_[dependent_] * stride] = 0;
                remove(dependent_);
            }
            back_substitute();
            double step = 1;
            std::size_t blocking = support_.size();
            for (std::size_t s = 0; s < support_.size(); ++s) {
                if (trial_[s] > 0) continue;
                const double now = v[support_[s] * stride];
                const double reach = now > 0 ? now / (now - trial_[s]) : 0.0;
                if (reach < step || blocking == support_.size()) {
                    step = std::min(step, reach);
                    blocking = s;
                }
            }
            for (std::size_t s = 0; s < support_.size(); ++s) {
                double& code = v[support_[s] * stride];
                code = std::max(0.0, code + step * (trial_[s] - code));
            }
            if (blocking == support_.size()) return;
            v[support_[blocking] * stride] = 0;
            remove(blocking);
        }
    }

    /// Raises the code of the atom added last, which is a combination of the others in the support, and lowers theirs so
    /// that the sum stays what it is, until one of them is 0 and leaves. False if none ever is.
    bool exchange(double* v, std::int64_t stride) {
        const std::size_t n = capacity();
        const std::size_t added = support_.size() - 1;
        for (std::size_t i = added; i-- > 0;) {
            double sum = factor_[added * n + i];
            for (std::size_t q = i + 1; q < added; ++q) sum -= factor_[q * n + i] * trial_[q];
            trial_[i] = sum / factor_[i * n + i];
        }
        double step = 0;
        std::size_t blocking = added;
        for (std::size_t s = 0; s < added; ++s) {
            if (!(trial_[s] > 0)) continue;
            const double reach = v[support_[s] * stride] / trial_[s];
            if (blocking == added || reach < step) {
                step = reach;
                blocking = s;
            }
        }
        if (blocking == added) return false;
        for (std::size_t s = 0; s < added; ++s) {
            double& code = v[support_[s] * stride];
            code = std::max(0.0, code - step * trial_[s]);
        }
        v[support_[added] * stride] = step;
        v[support_[blocking] * stride] = 0;
        remove(blocking);
        return true;
    }

    void remove(std::size_t s) {
        in_support_[index(support_[s])] = false;
        support_.erase(support_.begin() + static_cast<std::ptrdiff_t>(s));
        factored_ = std::min(factored_, s);
    }

    /// Cholesky factor of G on the support; false, with `dependent_`, at an atom that depends on those before it. Only
    /// rows from the first change of the support on are computed: an added atom costs one row.
    bool factorize(const gram_matrix& gram) {
        const std::size_t n = capacity();
        for (std::size_t i = factored_; i < support_.size(); ++i) {
            const double* g = gram.row(support_[i]);
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = g[support_[j]];
                for (std::size_t q = 0; q < j; ++q) sum -= factor_[i * n + q] * factor_[j * n + q];
                if (j < i) {
                    factor_[i * n + j] = sum / factor_[j * n + j];
                } else {
                    if (!(sum > gram.rounding * g[support_[i]])) {
                        dependent_ = i;
                        return false;
                    }
                    factor_[i * n + i] = std::sqrt(sum);
                }
            }
            factored_ = i + 1;
        }
        return true;
    }

    void back_substitute() {
        const std::size_t n = capacity();
        for (std::size_t i = 0; i < support_.size(); ++i) {
            double sum = target_[index(support_[i])];
            for (std::size_t q = 0; q < i; ++q) sum -= factor_[i * n + q] * trial_[q];
            trial_[i] = sum / factor_[i * n + i];
        }
        for (std::size_t i = support_.size(); i-- > 0;) {
            double sum = trial_[i];
            for (std::size_t q = i + 1; q < support_.size(); ++q) sum -= factor_[q * n + i] * trial_[q];
            trial_[i] = sum / factor_[i * n + i];
        }
    }

    /// Elements from one row of `factor_` to the next: rows stay where they are when the support grows.
    std::size_t capacity() const { return target_.size(); }

    std::vector<std::int64_t> support_;
    std::vector<double> target_;
    std::vector<double> trial_;
    std::vector<char> in_support_;
    std::vector<double> factor_;
    std::size_t factored_ = 0;  // rows of it that fit the support
    std::size_t dependent_ = 0;
};

}  // namespace coxlmm::linalg
