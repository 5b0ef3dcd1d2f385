// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/linalg/atom_update.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/nonnegative_cd.hpp"
#include "coxlmm/linalg/starting_atoms.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

enum class start_kind { samples, spread, random, given };

template <class T>
struct semi_nmf_settings {
    std::int64_t n_atoms;
    double l1;
    start_kind start;
    matrix<T> given;  // K x D, for start_kind::given
    std::uint64_t seed;
    std::int64_t max_iter;
    double tol;
    std::function<bool(std::int64_t, double)> on_iteration;  // false: stop
};

template <class T>
struct semi_nmf_fit {
    matrix<T> codes;
    matrix<T> dictionary;
    double objective = 0;
    double kkt_residual = 0;
    std::vector<double> history;
    std::int64_t n_iter = 0;
    stop_reason stop = stop_reason::max_iter;
};

/// Atoms that no sample uses take over the residuals of the samples that are explained worst. Their codes are zero, so
/// the objective does not change until the next pass, which can only lower it. Returns whether any atom was replaced.
template <class T>
bool revive_dead_atoms(const matrix_ref<const T>& x, const matrix<T>& codes, const matrix<double>& code_gram,
                       const std::vector<double>& errors, double l1, matrix<T>& atoms) {
    std::vector<std::int64_t> dead;
    for (std::int64_t k = 0; k < atoms.rows(); ++k) {
        if (!(code_gram(k, k) > 0)) dead.push_back(k);
    }
    if (dead.empty()) return false;
    std::vector<std::int64_t> worst(errors.size());
    std::iota(worst.begin(), worst.end(), std::int64_t{0});
    const auto n = std::min(dead.size(), worst.size());
    const auto error = [&](std::int64_t i) { return errors[static_cast<std::size_t>(i)]; };
    std::partial_sort(worst.begin(), worst.begin() + static_cast<std::ptrdiff_t>(n), worst.end(),
                      [&](std::int64_t a, std::int64_t b) { return error(a) != error(b) ? error(a) > error(b) : a < b; });
    const std::int64_t stride = atoms.cols();
    matrix<T> residual(1, stride);
    matrix<T> negated(atoms.rows(), 1);
    bool any = false;
    for (std::size_t r = 0; r < n; ++r) {
        linalg::pack_rows(x, worst[r], 1, residual.data(), 1, stride);
        const double size = std::sqrt(linalg::dot(residual.data(), residual.data(), stride));
        for (std::int64_t k = 0; k < atoms.rows(); ++k) negated(k, 0) = -codes(worst[r], k);
        linalg::accumulate_outer(negated.data(), 1, atoms.data(), atoms.rows(), 1, stride, residual.data());
        const double norm = std::sqrt(linalg::dot(residual.data(), residual.data(), stride));
        // A residual this short would not be used either: the penalty costs more than it gains.
        if (norm <= 0.5 * l1 || norm <= 1e-5 * size) break;
        linalg::normalize(residual.data(), stride);
        std::copy_n(residual.data(), stride, atoms.row(dead[r]));
        any = true;
    }
    return any;
}

/// Atoms to start from, in padded rows.
template <class T>
matrix<T> starting_atoms(const matrix_ref<const T>& x, const semi_nmf_settings<T>& settings, const std::vector<double>& norms,
                         thread_pool& pool) {
    random_source random(settings.seed);
    switch (settings.start) {
        case start_kind::samples: return linalg::sampled_atoms(x, settings.n_atoms, norms, random);
        case start_kind::random: return linalg::random_atoms<T>(settings.n_atoms, x.cols, random);
        case start_kind::given: return linalg::atoms_in_ball(settings.given);
        case start_kind::spread: break;
    }
    return linalg::spread_atoms(x, settings.n_atoms, norms, random, pool);
}

/// Alternates exact-as-needed codes (one pass over X) and block coordinate descent over the atoms.
template <class T>
semi_nmf_fit<T> fit_semi_nmf(const matrix_ref<const T>& x, const semi_nmf_settings<T>& settings, thread_pool& pool) {
    constexpr double final_tol = sizeof(T) == 4 ? 1e-7 : 1e-10;
    constexpr std::int64_t final_sweeps = 5000;
    const auto norms = linalg::checked_norms(x, "X", pool);
    auto atoms = starting_atoms(x, settings, norms, pool);
    semi_nmf_fit<T> fit;
    fit.codes = matrix<T>(x.rows, settings.n_atoms);
    linalg::code_pass<T> pass(x, settings.n_atoms, norms, pool);
    linalg::pass_settings step{.l1 = settings.l1, .tol = 1e-5, .max_sweeps = 30, .accumulate = true, .direct_error = false};

    auto gram = linalg::gram_of(atoms, pool);
    auto sums = pass.run(atoms, gram, fit.codes, step);
    fit.history.push_back(sums.objective(settings.l1));
    for (;;) {
        if (fit.n_iter == settings.max_iter) {
            fit.stop = stop_reason::max_iter;
            break;
        }
        const bool revived = revive_dead_atoms(x, fit.codes, sums.code_gram, pass.errors(), settings.l1, atoms);
        linalg::update_atoms(sums.cross, sums.code_gram, atoms, 5, 1e-4);
        gram = linalg::gram_of(atoms, pool);
        sums = pass.run(atoms, gram, fit.codes, step);
        const double before = fit.history.back();
        const double now = sums.objective(settings.l1);
        fit.history.push_back(now);
        ++fit.n_iter;
        if (settings.on_iteration && !settings.on_iteration(fit.n_iter, now)) {
            fit.stop = stop_reason::callback;
            break;
        }
        if (!revived && before - now <= settings.tol * before) {
            fit.stop = stop_reason::converged;
            break;
        }
    }
    const linalg::pass_settings last{
        .l1 = settings.l1, .tol = final_tol, .max_sweeps = final_sweeps, .accumulate = false, .direct_error = true};
    sums = pass.run(atoms, gram, fit.codes, last);
    fit.objective = sums.objective(settings.l1);
    fit.kkt_residual = sums.kkt_residual;
    fit.dictionary = linalg::unpacked(atoms, x.cols);
    return fit;
}

}  // namespace coxlmm::detail
