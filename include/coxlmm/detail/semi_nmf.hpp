// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/linalg/atom_update.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/dead_atoms.hpp"
#include "coxlmm/linalg/nonnegative_cd.hpp"
#include "coxlmm/linalg/range_finder.hpp"
#include "coxlmm/linalg/starting_atoms.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

enum class start_kind { samples, spread, singular, random, given };

template <class T>
struct semi_nmf_settings {
    std::int64_t n_atoms;
    double l1;
    start_kind start;
    std::int64_t n_starts;
    matrix<T> given;  // K x D, for start_kind::given
    std::uint64_t seed;
    std::int64_t max_iter;
    double tol;
    linalg::sign entries;  // of the atoms
    process_group group;
    std::function<bool(std::int64_t, double)> on_iteration;  // false: stop
};

template <class T>
struct semi_nmf_fit {
    matrix<T> codes;
    matrix<T> dictionary;
    double objective = 0;
    double squared_error = 0;
    double kkt_residual = 0;
    std::vector<double> history;
    std::int64_t n_iter = 0;
    stop_reason stop = stop_reason::max_iter;
};

/// The alternation between codes (one pass over X) and atoms, with guarded extrapolation of the atoms: the next pass
/// runs at  u + beta (u - u_before)  and is done again at u itself when the objective would rise. (Ang and Gillis,
/// Neural Computation 31, 2019, arXiv 1805.06604.)
template <class T>
class descent {
public:
    descent(const row_blocks<T>& x, const std::vector<double>& norms, double l1, std::int64_t sweeps, matrix<T> atoms, linalg::sign entries, const process_group& group,
            thread_pool& pool)
        : x_(x),
          l1_(l1),
          sweeps_(sweeps),
          entries_(entries),
          group_(group),
          pool_(pool),
          pass_(x, atoms.rows(), norms, pool),
          atoms_(std::move(atoms)),
          codes_(x.rows(), atoms_.rows()),
          codes_before_(x.rows(), atoms_.rows()) {
        gram_ = linalg::gram_of(atoms_, pool_);
        sums_ = pass_.run(atoms_, gram_, codes_, codes_, step(3 * sweeps_));
        linalg::sum_over(group_, sums_);
        objective_ = sums_.objective(l1_);
    }

    double objective() const { return objective_; }
    const matrix<T>& atoms() const { return atoms_; }

    /// One iteration. Returns false when no step lowers the objective any more: then atoms and codes are what they were.
    bool advance() {
        matrix<T> next = atoms_;
        const bool revived = linalg::revive_dead_atoms(x_, codes_, sums_.code_gram, pass_.errors(), l1_, entries_, group_, next);
        linalg::update_atoms(sums_.cross, sums_.code_gram, next, entries_, 3, 1e-4, pool_);
        const bool extrapolate = !revived && updated_.size() > 0;
        std::swap(codes_, codes_before_);
        if (extrapolate) {
            if (try_atoms(linalg::extrapolated(next, updated_, beta_, entries_))) {
                beta_ = std::min(beta_limit_, 1.2 * beta_);
                beta_limit_ = std::min(1.0, 1.05 * beta_limit_);
                updated_ = std::move(next);
                return true;
            }
            beta_limit_ = beta_;
            beta_ /= 1.5;
        }
        matrix<T> plain = next;
        if (try_atoms(std::move(plain))) {
            updated_ = std::move(next);
            return true;
        }
        std::swap(codes_, codes_before_);
        return false;
    }

    /// The optimal codes for the atoms reached, and their objective.
    semi_nmf_fit<T> finish() {
        constexpr double tol = sizeof(T) == 4 ? 1e-7 : 1e-10;
        auto sums = pass_.run(
            atoms_, gram_, codes_, codes_,
            {.l1 = l1_, .tol = tol, .max_sweeps = 500, .max_changes = 3 * atoms_.rows(), .accumulate = false, .residual = true});
        linalg::sum_over(group_, sums);
        semi_nmf_fit<T> fit;
        fit.codes = std::move(codes_);
        fit.dictionary = linalg::unpacked(atoms_, x_.cols());
        fit.objective = sums.objective(l1_);
        fit.squared_error = sums.squared_error;
        fit.kkt_residual = sums.kkt_residual;
        return fit;
    }

private:
    /// Codes need not be optimal on the way: they start from those before, so every sweep lowers the objective further.
    linalg::pass_settings step(std::int64_t sweeps) const {
        return {.l1 = l1_, .tol = 1e-5, .max_sweeps = sweeps, .max_changes = 0, .accumulate = true, .residual = false};
    }

    /// Takes the atoms if the objective does not rise. The codes start from those before.
    bool try_atoms(matrix<T> atoms) {
        auto gram = linalg::gram_of(atoms, pool_);
        auto sums = pass_.run(atoms, gram, codes_before_, codes_, step(sweeps_));
        linalg::sum_over(group_, sums);
        const double now = sums.objective(l1_);
        if (!(now <= objective_)) return false;
        atoms_ = std::move(atoms);
        gram_ = std::move(gram);
        sums_ = std::move(sums);
        objective_ = now;
        return true;
    }

    const row_blocks<T>& x_;
    double l1_;
    std::int64_t sweeps_;  // of coordinate descent over the codes, in one iteration
    linalg::sign entries_;
    const process_group& group_;
    thread_pool& pool_;
    linalg::code_pass<T> pass_;
    matrix<T> atoms_;    // where codes_ and sums_ were computed
    matrix<T> updated_;  // the last atoms before extrapolation
    matrix<T> codes_;
    matrix<T> codes_before_;
    linalg::gram_matrix gram_;
    linalg::pass_sums<T> sums_;
    double objective_ = 0;
    double beta_ = 0.7;
    double beta_limit_ = 1.0;
};

template <class T>
matrix<T> atoms_of_kind(const semi_nmf_settings<T>& settings, const row_blocks<T>& x, const std::vector<double>& norms,
                        std::uint64_t seed, thread_pool& pool) {
    random_source random(seed);
    matrix<T> atoms;
    switch (settings.start) {
        case start_kind::samples: atoms = linalg::sampled_atoms(x, settings.n_atoms, norms, random); break;
        case start_kind::singular: atoms = linalg::singular_atoms(x, settings.n_atoms, settings.entries, random, pool); break;
        case start_kind::random: atoms = linalg::random_atoms<T>(settings.n_atoms, x.cols(), random); break;
        default: atoms = linalg::spread_atoms(x, settings.n_atoms, norms, random, pool);
    }
    if (settings.entries == linalg::sign::nonnegative) {
        for (std::int64_t i = 0; i < atoms.size(); ++i) atoms.data()[i] = std::abs(atoms.data()[i]);
    }
    return atoms;
}

/// The best of several short fits to `x`. After a few iterations the worse half of the starts is given up, and so on
/// with twice the iterations, until one is left.
template <class T>
matrix<T> best_start(const row_blocks<T>& x, const semi_nmf_settings<T>& settings, random_source& random,
                     thread_pool& pool) {
    // One thread a start: the problems are small, and starts do not wait for one another. Their passes listen to the
    // pool that they run in, so that a start can be left in the middle.
    const auto norms = linalg::checked_norms(x, "X", pool);
    std::vector<std::unique_ptr<thread_pool>> serials;
    for (std::int64_t s = 0; s < settings.n_starts; ++s) {
        serials.push_back(std::make_unique<thread_pool>(1, [&pool] { pool.step(); }));
    }
    std::vector<std::uint64_t> seeds;
    for (std::int64_t s = 0; s < settings.n_starts; ++s) seeds.push_back(random.bits());
    const process_group alone;
    std::vector<std::unique_ptr<descent<T>>> paths(seeds.size());
    pool.run(settings.n_starts, [&](std::int64_t s, int) {
        auto& path = paths[static_cast<std::size_t>(s)];
        auto& serial = *serials[static_cast<std::size_t>(s)];
        path = std::make_unique<descent<T>>(
            x, norms, settings.l1, 4, atoms_of_kind(settings, x, norms, seeds[static_cast<std::size_t>(s)], serial), settings.entries,
            alone, serial);
        pool.step();
    });
    for (std::int64_t length = 5; paths.size() > 1; length *= 2) {
        pool.run(static_cast<std::int64_t>(paths.size()), [&](std::int64_t s, int) {
            for (std::int64_t i = 0; i < length && paths[static_cast<std::size_t>(s)]->advance(); ++i) pool.step();
        });
        std::stable_sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) { return a->objective() < b->objective(); });
        paths.resize((paths.size() + 1) / 2);
    }
    return paths.front()->atoms();
}

/// Atoms to start from, in padded rows. Several starts are tried on a sketch of X: some of its samples, and of their
/// features a few directions that hold most of them. (Of nonnegative atoms all features: directions are signed.)
template <class T>
matrix<T> starting_atoms(const row_blocks<T>& x, const semi_nmf_settings<T>& settings, const std::vector<double>& norms,
                         thread_pool& pool) {
    if (settings.start == start_kind::given) {
        matrix<T> given = settings.given;
        if (settings.entries == linalg::sign::nonnegative) linalg::clip_negative(given.data(), given.size());
        return linalg::in_ball(linalg::pack_matrix(row_blocks<T>(given)));
    }
    const std::int64_t k = settings.n_atoms;
    random_source random(settings.seed);
    // The singular directions are the same from every seed, nearly.
    if (settings.n_starts == 1 || settings.start == start_kind::singular) {
        return atoms_of_kind(settings, x, norms, random.bits(), pool);
    }
    // Every s-th sample, so that nothing is copied.
    const std::int64_t wanted = std::max(std::clamp<std::int64_t>(x.rows() / 4, 512, 2048), 8 * k);
    const row_blocks<T> some = x.every(std::max<std::int64_t>(1, x.rows() / wanted));
    const std::int64_t rank = k + std::max<std::int64_t>(12, k / 2);
    if (settings.entries == linalg::sign::nonnegative || x.cols() <= 2 * rank) return best_start(some, settings, random, pool);
    const auto sketch = linalg::sketch_of(some, rank, random, pool);
    if (sketch.basis.rows() == 0) return atoms_of_kind(settings, x, norms, random.bits(), pool);
    const auto found = best_start(row_blocks<T>(sketch.coordinates), settings, random, pool);
    return linalg::in_ball(linalg::combined(found, sketch.basis));
}

template <class T>
semi_nmf_fit<T> fit_semi_nmf(const row_blocks<T>& x, const semi_nmf_settings<T>& settings, thread_pool& pool) {
    // The decrease is averaged over a few iterations: single ones may be short after an extrapolation was refused.
    constexpr std::size_t window = 5;
    const auto norms = linalg::checked_norms(x, "X", pool);
    linalg::require_range<T>(norms, "X");
    const process_group& group = settings.group;
    matrix<T> start = group.rank == 0 ? starting_atoms(x, settings, norms, pool)
                                      : matrix<T>(settings.n_atoms, linalg::padded_length<T>(x.cols()));
    linalg::sum_over(group, start);
    descent<T> path(x, norms, settings.l1, 6, std::move(start), settings.entries, group, pool);
    if (!is_finite(path.objective())) {
        throw_invalid("the objective at the start is ", path.objective(), ": scale the initial atoms up or X down");
    }
    std::vector<double> history{path.objective()};
    stop_reason stop = stop_reason::max_iter;
    std::int64_t n_iter = 0;
    while (n_iter < settings.max_iter) {
        if (!path.advance()) {
            stop = stop_reason::converged;
            break;
        }
        ++n_iter;
        const double now = path.objective();
        history.push_back(now);
        double stopped = settings.on_iteration && !settings.on_iteration(n_iter, now) ? 1.0 : 0.0;
        // One process that stops stops them all.
        if (!group.alone()) group.sum(&stopped, 1);
        if (stopped > 0) {
            stop = stop_reason::callback;
            break;
        }
        const double allowed = settings.tol * static_cast<double>(window) * now;
        if (history.size() > window && history[history.size() - 1 - window] - now <= allowed) {
            stop = stop_reason::converged;
            break;
        }
    }
    auto fit = path.finish();
    fit.history = std::move(history);
    fit.n_iter = n_iter;
    fit.stop = stop;
    return fit;
}

}  // namespace coxlmm::detail
