// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/linalg/active_set.hpp"
#include "coxlmm/linalg/nonnegative_cd.hpp"
#include "coxlmm/linalg/sparse_products.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// How samples are divided among tiles, and tiles among groups. It depends on the shape of the problem alone; groups
/// are what threads take, and their sums are added in their order, so the number of threads changes no bit.
struct partition {
    std::int64_t n_samples;
    std::int64_t tile;
    std::int64_t n_tiles;
    std::int64_t n_groups;

    template <class T>
    static partition of(std::int64_t n_samples, std::int64_t n_features, std::int64_t n_atoms) {
        partition p{};
        p.n_samples = n_samples;
        p.tile = std::min(tile_samples<T>(n_features), round_up(n_samples, 32));
        p.n_tiles = (n_samples + p.tile - 1) / p.tile;
        // Each group owns a K x D sum. A power of two, so that it divides evenly among the usual numbers of threads; together
        // at most a sixteenth of X where that leaves work for four threads.
        const std::int64_t fitting = std::clamp<std::int64_t>(n_samples / (16 * n_atoms), 4, 64);
        const auto most = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(fitting)));
        p.n_groups = std::min(p.n_tiles, most);
        return p;
    }

    std::int64_t first_tile(std::int64_t group) const { return n_tiles * group / n_groups; }
};

/// The sums of groups, added in their order into the first one.
template <class S>
matrix<S> added_up(std::vector<matrix<S>>&& groups) {
    matrix<S> total = std::move(groups.front());
    for (std::size_t g = 1; g < groups.size(); ++g) {
        const S* in = groups[g].data();
        S* out = total.data();
        for (std::int64_t i = 0; i < total.size(); ++i) out[i] += in[i];
    }
    return total;
}

/// |x|^2 of a padded row in double: no value of a float overflows or vanishes when squared there.
template <class T>
double squared_norm(const T* row, std::int64_t stride) {
    constexpr std::int64_t lanes = 8;  // sums that do not wait for one another; the padding is a multiple of as many
    double sums[lanes] = {};
    for (std::int64_t d = 0; d < stride; d += lanes) {
        for (std::int64_t j = 0; j < lanes; ++j) sums[j] += static_cast<double>(row[d + j]) * static_cast<double>(row[d + j]);
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// Refuses data whose sums of products would overflow in T, or vanish: what came out would look like a result.
template <class T>
void require_range(const std::vector<double>& norms, const char* name) {
    using limits = std::numeric_limits<T>;
    double total = 0;
    double largest = 0;
    std::size_t row = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) {
        const double squared = norms[i] * norms[i];
        total += squared;
        if (squared > largest) {
            largest = squared;
            row = i;
        }
    }
    const char* type = sizeof(T) == 4 ? "float" : "double";
    constexpr double most = static_cast<double>(limits::max()) / 16;
    if (!(total <= most)) {
        throw_invalid(name, " has values too large to square in ", type, ": its squared norm is ", total, " (row ", row, " has ", largest,
                      "), above ", most, "; divide the data by a power of two", sizeof(T) == 4 ? " or give it in double" : "");
    }
    constexpr double eps = static_cast<double>(limits::epsilon());
    constexpr double least = static_cast<double>(limits::min()) / (eps * eps);
    if (largest > 0 && largest < least) {
        throw_invalid(name, " has values too small to square in ", type, ": the largest squared norm of a row is ", largest, " (row ", row,
                      "), below ", least, "; multiply the data by a power of two", sizeof(T) == 4 ? " or give it in double" : "");
    }
}

/// |x_i| of every sample; refuses NaN and infinity with the first row and column that has one. Whether the norms
/// themselves are within range is for require_range to say.
template <class T>
std::vector<double> checked_norms(const row_blocks<T>& x, const char* name, thread_pool& pool) {
    const std::int64_t n_cols = whole_lines<T>(x.cols());
    const std::int64_t tile = tile_samples<T>(x.cols());
    std::vector<double> norms(static_cast<std::size_t>(x.rows()));
    std::vector<matrix<T>> scratch(static_cast<std::size_t>(pool.size()));
    first_bad_row bad;
    pool.run((x.rows() + tile - 1) / tile, [&](std::int64_t task, int worker) {
        const std::int64_t first = task * tile;
        const std::int64_t count = std::min(tile, x.rows() - first);
        const auto rows = rows_of(x, first, count, scratch[static_cast<std::size_t>(worker)]);
        for (std::int64_t i = 0; i < count; ++i) {
            const double squared = squared_norm(rows.row(i), n_cols);
            if (!is_finite(squared)) bad.check(rows.row(i), n_cols, first + i);
            norms[static_cast<std::size_t>(first + i)] = std::sqrt(squared);
        }
    });
    bad.complain(x, name);
    return norms;
}

struct pass_settings {
    double l1;
    double tol;                // see nonnegative_cd and, where max_changes > 0, kkt_residuals
    std::int64_t max_sweeps;
    std::int64_t max_changes;  // of the support, by the active-set method, for samples not at `tol` after the sweeps
    bool accumulate;           // the sums that the atom update needs
    bool residual;             // the KKT residual of the codes
};

/// What a pass leaves behind besides the codes.
template <class T>
struct pass_sums {
    matrix<T> cross;            // codes^T X, K x padded D
    matrix<double> code_gram;   // codes^T codes, K x K
    double squared_error = 0;
    double code_sum = 0;
    double kkt_residual = 0;    // the largest of all samples, if asked for
    double objective(double l1) const { return squared_error + l1 * code_sum; }
};

/// Replaces the values by their sums over the processes of the group.
template <class T>
void sum_over(const process_group& group, matrix<T>& values) {
    if (group.alone() || values.size() == 0) return;
    std::vector<double> buffer(values.data(), values.data() + values.size());
    group.sum(buffer.data(), values.size());
    for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<T>(buffer[static_cast<std::size_t>(i)]);
}

template <class T>
void sum_over(const process_group& group, pass_sums<T>& sums) {
    if (group.alone()) return;
    sum_over(group, sums.cross);
    sum_over(group, sums.code_gram);
    // Residuals are not added but compared: every process has a place of its own for it.
    std::vector<double> scalars(2 + static_cast<std::size_t>(group.size), 0.0);
    scalars[0] = sums.squared_error;
    scalars[1] = sums.code_sum;
    scalars[2 + static_cast<std::size_t>(group.rank)] = sums.kkt_residual;
    group.sum(scalars.data(), static_cast<std::int64_t>(scalars.size()));
    sums.squared_error = scalars[0];
    sums.code_sum = scalars[1];
    sums.kkt_residual = *std::max_element(scalars.begin() + 2, scalars.end());
}

/// One read of X: for every tile the correlations, the codes (warm-started from `codes`) and the sums.
template <class T>
class code_pass {
public:
    code_pass(const row_blocks<T>& x, std::int64_t n_atoms, const std::vector<double>& norms, thread_pool& pool)
        : x_(x),
          n_atoms_(n_atoms),
          stride_(padded_length<T>(x.cols())),
          n_cols_(whole_lines<T>(x.cols())),
          partition_(partition::of<T>(x.rows(), x.cols(), n_atoms)),
          norms_(norms),
          errors_(static_cast<std::size_t>(x.rows())),
          pool_(pool),
          scratch_(static_cast<std::size_t>(pool.size())) {}

    /// `atoms` in padded rows, `gram` = gram_of(atoms). The descent starts from the codes `start` (M x K) and writes to
    /// `codes`, which may be the same matrix.
    pass_sums<T> run(const matrix<T>& atoms, const gram_matrix& gram, const matrix<T>& start, matrix<T>& codes,
                     const pass_settings& settings) {
        groups_.resize(static_cast<std::size_t>(partition_.n_groups));
        pool_.run(partition_.n_groups, [&](std::int64_t g, int worker) {
            auto& group = groups_[static_cast<std::size_t>(g)];
            group.reset(n_atoms_, stride_, settings.accumulate);
            auto& scratch = scratch_[static_cast<std::size_t>(worker)];
            scratch.reserve(n_atoms_, partition_.tile);
            for (std::int64_t t = partition_.first_tile(g); t < partition_.first_tile(g + 1); ++t) {
                run_tile(t, atoms, gram, start, codes, settings, scratch, group);
                pool_.step();
            }
        });
        return reduce(settings.accumulate);
    }

    /// |x_i - v_i U|^2 of the last pass.
    const std::vector<double>& errors() const { return errors_; }

private:
    struct group_sums {
        matrix<T> cross;
        matrix<double> code_gram;
        double squared_error = 0;
        double code_sum = 0;
        double kkt_residual = 0;

        void reset(std::int64_t n_atoms, std::int64_t stride, bool with_sums) {
            squared_error = code_sum = kkt_residual = 0;
            if (!with_sums) return;
            if (cross.size() == 0) {
                cross = matrix<T>(n_atoms, stride);
                code_gram = matrix<double>(n_atoms, n_atoms);
            } else {
                std::fill_n(cross.data(), cross.size(), T{});
                std::fill_n(code_gram.data(), code_gram.size(), 0.0);
            }
        }
    };

    struct tile_scratch {
        matrix<T> rows;                // tile x padded D, where X cannot be read in place
        matrix<double> correlations;   // K x tile
        matrix<double> codes;          // K x tile
        matrix<T> codes_by_sample;     // tile x K
        sparse_products<T> products;
        std::optional<active_set_solver> exact;
        matrix<double> per_sample;     // norms, errors, KKT residuals

        void reserve(std::int64_t n_atoms, std::int64_t tile) {
            if (codes.size() != 0) return;
            correlations = matrix<double>(n_atoms, tile);
            codes = matrix<double>(n_atoms, tile);
            codes_by_sample = matrix<T>(tile, n_atoms);
            products = sparse_products<T>(tile, n_atoms);
            per_sample = matrix<double>(3, tile);
        }
    };

    void run_tile(std::int64_t t, const matrix<T>& atoms, const gram_matrix& gram, const matrix<T>& start, matrix<T>& codes,
                  const pass_settings& settings, tile_scratch& s, group_sums& group) {
        const std::int64_t n = partition_.tile;
        const std::int64_t first = t * n;
        const std::int64_t count = std::min(n, x_.rows() - first);
        double* norms = s.per_sample.row(0);
        double* errors = s.per_sample.row(1);
        double* kkt = s.per_sample.row(2);
        std::fill_n(norms, n, 0.0);
        std::copy_n(norms_.begin() + first, count, norms);
        const auto rows = rows_of(x_, first, count, s.rows);
        dot_products(rows, count, atoms.data(), n_atoms_, stride_, n_cols_, s.correlations.data(), n);
        for (std::int64_t k = 0; k < n_atoms_; ++k) {
            for (std::int64_t i = 0; i < count; ++i) s.codes(k, i) = static_cast<double>(start(first + i, k));
            std::fill_n(s.codes.row(k) + count, n - count, 0.0);
        }
        const cd_tile tile{n, s.correlations.data(), s.codes.data(), norms};
        nonnegative_cd(gram, tile, settings.l1, settings.tol, settings.max_sweeps);
        if (settings.max_changes > 0) {
            kkt_residuals(gram, tile, settings.l1, kkt);
            for (std::int64_t i = 0; i < count; ++i) {
                if (kkt[i] <= settings.tol) continue;
                if (!s.exact) s.exact.emplace(n_atoms_);
                pool_.step();
                s.exact->solve(gram, s.correlations.data() + i, s.codes.data() + i, n, settings.l1, settings.tol, norms[i],
                            settings.max_changes);
            }
        }

        // From here on the codes are what the caller will see: rounded to T.
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t k = 0; k < n_atoms_; ++k) {
                const T code = static_cast<T>(s.codes(k, i));
                s.codes(k, i) = static_cast<double>(code);
                s.codes_by_sample(i, k) = code;
            }
        }
        for (std::int64_t i = 0; i < count; ++i) std::copy_n(s.codes_by_sample.row(i), n_atoms_, codes.row(first + i));
        if (settings.residual) {
            kkt_residuals(gram, tile, settings.l1, kkt);
            for (std::int64_t i = 0; i < count; ++i) group.kkt_residual = std::max(group.kkt_residual, kkt[i]);
        }
        if (settings.accumulate) add_code_gram(s, count, group);
        const bool exact = !expanded_errors_are_enough(gram, tile, errors);
        if (exact || settings.accumulate) {
            s.products.compute(rows, count, n_cols_, s.codes_by_sample.data(), atoms, exact ? errors : nullptr,
                               settings.accumulate ? group.cross.data() : nullptr);
        }
        for (std::int64_t i = 0; i < count; ++i) {
            group.squared_error += errors[i];
            for (std::int64_t k = 0; k < n_atoms_; ++k) group.code_sum += s.codes(k, i);
            errors_[static_cast<std::size_t>(first + i)] = errors[i];
        }
    }

    /// Expanding |x - v U|^2 loses eps |x|^2: that is far below the error of most data, but in float more than the error of
    /// states with a large mean or a few massive features can spare. A descent would stop at the noise, so there the
    /// residuals themselves are taken.
    static bool expanded_errors_are_enough(const gram_matrix& gram, const cd_tile& tile, double* errors) {
        constexpr double share = sizeof(T) == 4 ? 0.1 : 1e-6;
        expanded_errors(gram, tile, errors);
        double error = 0;
        double norm = 0;
        for (std::int64_t i = 0; i < tile.n_samples; ++i) {
            error += errors[i];
            norm += tile.sample_norms[i] * tile.sample_norms[i];
        }
        return error > share * norm;
    }

    void add_code_gram(const tile_scratch& s, std::int64_t count, group_sums& group) const {
        for (std::int64_t i = 0; i < count; ++i) {
            const T* code = s.codes_by_sample.row(i);
            for (std::int64_t k = 0; k < n_atoms_; ++k) {
                const auto c = static_cast<double>(code[k]);
                if (c == 0) continue;
                double* out = group.code_gram.row(k);
                for (std::int64_t j = 0; j < n_atoms_; ++j) out[j] += c * static_cast<double>(code[j]);
            }
        }
    }

    pass_sums<T> reduce(bool with_sums) {
        pass_sums<T> total;
        for (const auto& group : groups_) {
            total.squared_error += group.squared_error;
            total.code_sum += group.code_sum;
            total.kkt_residual = std::max(total.kkt_residual, group.kkt_residual);
        }
        if (!with_sums) return total;
        total.cross = matrix<T>(n_atoms_, stride_);
        total.code_gram = matrix<double>(n_atoms_, n_atoms_);
        pool_.run(n_atoms_, [&](std::int64_t k, int) {
            T* out = total.cross.row(k);
            constexpr std::int64_t piece = 256;
            double sum[piece];
            for (std::int64_t begin = 0; begin < stride_; begin += piece) {
                const std::int64_t size = std::min(piece, stride_ - begin);
                std::fill_n(sum, piece, 0.0);
                for (const auto& group : groups_) {
                    const T* in = group.cross.row(k) + begin;
                    for (std::int64_t d = 0; d < size; ++d) sum[d] += static_cast<double>(in[d]);
                }
                for (std::int64_t d = 0; d < size; ++d) out[begin + d] = static_cast<T>(sum[d]);
            }
            double* gram = total.code_gram.row(k);
            for (const auto& group : groups_) {
                for (std::int64_t j = 0; j < n_atoms_; ++j) gram[j] += group.code_gram(k, j);
            }
        });
        return total;
    }

    const row_blocks<T>& x_;
    std::int64_t n_atoms_;
    std::int64_t stride_;
    std::int64_t n_cols_;
    partition partition_;
    const std::vector<double>& norms_;
    std::vector<double> errors_;
    thread_pool& pool_;
    std::vector<tile_scratch> scratch_;
    std::vector<group_sums> groups_;
};

}  // namespace coxlmm::linalg
