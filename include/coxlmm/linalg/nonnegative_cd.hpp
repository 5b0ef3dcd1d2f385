// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/linalg/simd.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Nonnegative lasso by coordinate descent on the Gram matrix, for many samples at once (one sample a vector lane):
///
///     minimise over v >= 0   |x - v U|^2 + l1 * sum(v),    G = U U^T,  c = U x.
///
/// Every lane freezes when it has converged, so a sample's code does not depend on who shares its tile.
namespace coxlmm::linalg {

/// The dictionary as the solver needs it: all in double, K x K.
struct gram_matrix {
    std::int64_t n_atoms = 0;
    std::vector<double> entries;       // row-major
    std::vector<double> inverse_diag;  // 0 where the atom is zero: its code stays 0
    std::vector<double> norms;
    double rounding = 0;  // how exact the entries are, relative to the diagonal

    const double* row(std::int64_t k) const { return entries.data() + k * n_atoms; }
    double norm(std::int64_t k) const { return norms[static_cast<std::size_t>(k)]; }
};

/// G of atoms in padded rows.
template <class T>
gram_matrix gram_of(const matrix<T>& atoms, thread_pool& pool) {
    const std::int64_t n = atoms.rows();
    const std::int64_t stride = atoms.cols();
    constexpr std::int64_t block = kernels::dot_rows;
    gram_matrix gram;
    gram.n_atoms = n;
    gram.rounding = 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
    gram.entries.assign(static_cast<std::size_t>(n * n), 0.0);
    pool.run((n + block - 1) / block, [&](std::int64_t task, int) {
        const std::int64_t first = task * block;
        const std::int64_t count = std::min(block, n - first);
        matrix<T> rows(block, stride);
        matrix<double> products(n, block);
        std::copy_n(atoms.row(first), count * stride, rows.data());
        dot_products(rows.data(), block, atoms.data(), n, stride, products.data(), block);
        for (std::int64_t k = 0; k < n; ++k) {
            for (std::int64_t r = 0; r < count; ++r) gram.entries[static_cast<std::size_t>((first + r) * n + k)] = products(k, r);
        }
    });
    for (std::int64_t k = 0; k < n; ++k) {
        const double squared = gram.row(k)[k];
        gram.norms.push_back(std::sqrt(squared));
        gram.inverse_diag.push_back(squared > 0 ? 1 / squared : 0.0);
    }
    return gram;
}

/// One tile's problem; all arrays are K x n_samples with samples contiguous, n_samples a multiple of 32.
struct cd_tile {
    std::int64_t n_samples;
    const double* correlations;  // c
    double* codes;               // v: the start, then the solution
    const double* sample_norms;  // |x|, for the stopping rule
};

namespace kernels {

/// slope = G_k . v for one atom k and `packets` registers of samples, in two sums each that do not wait for one another.
template <int Packets>
[[gnu::always_inline]] inline void slopes(const double* gram_row, const double* codes, std::int64_t n_atoms, std::int64_t n_samples,
            typename simd<double>::packet (&slope)[Packets]) {
    using v = simd<double>;
    typename v::packet odd[Packets];
    for (int p = 0; p < Packets; ++p) slope[p] = odd[p] = v::broadcast(0.0);
    std::int64_t j = 0;
    for (; j + 1 < n_atoms; j += 2) {
        const auto g = v::broadcast(gram_row[j]);
        const auto h = v::broadcast(gram_row[j + 1]);
        const double* column = codes + j * n_samples;
        for (int p = 0; p < Packets; ++p) {
            slope[p] = v::madd(g, v::load(column + p * v::width), slope[p]);
            odd[p] = v::madd(h, v::load(column + n_samples + p * v::width), odd[p]);
        }
    }
    if (j < n_atoms) {
        const auto g = v::broadcast(gram_row[j]);
        for (int p = 0; p < Packets; ++p) slope[p] = v::madd(g, v::load(codes + j * n_samples + p * v::width), slope[p]);
    }
    for (int p = 0; p < Packets; ++p) slope[p] = v::add(slope[p], odd[p]);
}

/// Registers of samples a kernel works on at once: enough to hide the latency of a fused multiply-add.
inline constexpr int code_packets = 4;
static_assert(32 % (code_packets * simd<double>::width) == 0, "a tile holds whole blocks of samples");

}  // namespace kernels

/// Cyclic coordinate descent, each sample until no coordinate of a sweep moved by more than
///
///     |change of v_k| * |u_k|  <=  tol * |x|
///
/// (a rule that does not change when x and U are scaled), or for `max_sweeps` sweeps.
inline void nonnegative_cd(const gram_matrix& gram, const cd_tile& tile, double l1, double tol, std::int64_t max_sweeps) {
    using v = simd<double>;
    constexpr int packets = kernels::code_packets;
    constexpr std::int64_t block = packets * v::width;
    const std::int64_t n_atoms = gram.n_atoms;
    const std::int64_t n = tile.n_samples;
    const auto half_l1 = v::broadcast(0.5 * l1);
    const auto zero = v::broadcast(0.0);

    for (std::int64_t k = 0; k < n_atoms; ++k) {
        if (gram.inverse_diag[static_cast<std::size_t>(k)] == 0.0) std::fill_n(tile.codes + k * n, n, 0.0);
    }
    alignas(64) double active[block];
    alignas(64) double moved[block];
    for (std::int64_t first = 0; first < n; first += block) {
        for (std::int64_t i = 0; i < block; ++i) active[i] = tile.sample_norms[first + i] > 0 ? 1.0 : 0.0;
        for (std::int64_t i = 0; i < block; ++i) {
            if (active[i] != 0.0) continue;
            for (std::int64_t k = 0; k < n_atoms; ++k) tile.codes[k * n + first + i] = 0.0;
        }
        for (std::int64_t sweep = 0; sweep < max_sweeps; ++sweep) {
            typename v::packet mask[packets];
            typename v::packet largest[packets];
            for (int p = 0; p < packets; ++p) {
                mask[p] = v::load(active + p * v::width);
                largest[p] = zero;
            }
            for (std::int64_t k = 0; k < n_atoms; ++k) {
                const double* g = gram.row(k);
                typename v::packet slope[packets];
                kernels::slopes<packets>(g, tile.codes + first, n_atoms, n, slope);
                const auto inverse = v::broadcast(gram.inverse_diag[static_cast<std::size_t>(k)]);
                const auto norm = v::broadcast(gram.norm(k));
                double* codes = tile.codes + k * n + first;
                const double* c = tile.correlations + k * n + first;
                for (int p = 0; p < packets; ++p) {
                    const auto old = v::load(codes + p * v::width);
                    const auto descent = v::sub(v::sub(v::load(c + p * v::width), half_l1), slope[p]);
                    const auto best = v::max(zero, v::madd(descent, inverse, old));
                    const auto change = v::mul(mask[p], v::sub(best, old));
                    v::store(codes + p * v::width, v::add(old, change));
                    largest[p] = v::max(largest[p], v::mul(v::abs(change), norm));
                }
            }
            bool any = false;
            for (int p = 0; p < packets; ++p) v::store(moved + p * v::width, largest[p]);
            for (std::int64_t i = 0; i < block; ++i) {
                if (moved[i] <= tol * tile.sample_norms[first + i]) active[i] = 0.0;
                any = any || active[i] != 0.0;
            }
            if (!any) break;
        }
    }
}

/// How far the codes of a tile are from optimal, sample by sample:
///
///     kkt_residual = max over k of |projected gradient_k| / (2 |x| |u_k|): 0 at the optimum, 1 at worst near v = 0
///
/// The gradient is projected: at v_k = 0 only a descent direction counts.
inline void kkt_residuals(const gram_matrix& gram, const cd_tile& tile, double l1, double* kkt_residual) {
    using v = simd<double>;
    constexpr int packets = kernels::code_packets;
    constexpr std::int64_t block = packets * v::width;
    const std::int64_t n = tile.n_samples;
    alignas(64) double slope_of[block];
    for (std::int64_t first = 0; first < n; first += block) {
        double* kkt = kkt_residual + first;
        std::fill_n(kkt, block, 0.0);
        for (std::int64_t k = 0; k < gram.n_atoms; ++k) {
            if (!(gram.norm(k) > 0)) continue;
            typename v::packet slope[packets];
            kernels::slopes<packets>(gram.row(k), tile.codes + first, gram.n_atoms, n, slope);
            for (int p = 0; p < packets; ++p) v::store(slope_of + p * v::width, slope[p]);
            const double* codes = tile.codes + k * n + first;
            const double* c = tile.correlations + k * n + first;
            for (std::int64_t i = 0; i < block; ++i) {
                const double descent = c[i] - slope_of[i] - 0.5 * l1;
                const double violation = codes[i] > 0 ? std::abs(descent) : std::max(descent, 0.0);
                kkt[i] = std::max(kkt[i], violation / gram.norm(k));
            }
        }
        for (std::int64_t i = 0; i < block; ++i) {
            const double norm = tile.sample_norms[first + i];
            kkt[i] = norm > 0 ? kkt[i] / norm : 0.0;
        }
    }
}

/// |x - v U|^2 of every sample of a tile by |x|^2 - 2 c v + v G v: costs nothing in features, but is exact only to the
/// rounding of |x|^2.
inline void expanded_errors(const gram_matrix& gram, const cd_tile& tile, double* errors) {
    using v = simd<double>;
    constexpr int packets = kernels::code_packets;
    constexpr std::int64_t block = packets * v::width;
    const std::int64_t n = tile.n_samples;
    const auto two = v::broadcast(2.0);
    alignas(64) double explained[block];
    for (std::int64_t first = 0; first < n; first += block) {
        typename v::packet sum[packets];
        for (auto& s : sum) s = v::broadcast(0.0);
        for (std::int64_t k = 0; k < gram.n_atoms; ++k) {
            typename v::packet slope[packets];
            kernels::slopes<packets>(gram.row(k), tile.codes + first, gram.n_atoms, n, slope);
            for (int p = 0; p < packets; ++p) {
                const std::int64_t at = k * n + first + p * v::width;
                const auto twice = v::mul(two, v::load(tile.correlations + at));
                sum[p] = v::madd(v::sub(twice, slope[p]), v::load(tile.codes + at), sum[p]);
            }
        }
        for (int p = 0; p < packets; ++p) v::store(explained + p * v::width, sum[p]);
        for (std::int64_t i = 0; i < block; ++i) {
            const double norm = tile.sample_norms[first + i];
            errors[first + i] = std::max(0.0, norm * norm - explained[i]);
        }
    }
}

}  // namespace coxlmm::linalg
