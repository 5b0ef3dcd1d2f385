// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/linalg/simd.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::linalg {

/// What a tile of samples and its codes give together: the errors |x - v U|^2, from the residuals themselves, and the sums
/// codes^T X. Codes that are zero cost nothing.
template <class T>
class sparse_products {
public:
    sparse_products() = default;
    sparse_products(std::int64_t n_rows, std::int64_t n_atoms)
        : n_rows_(n_rows),
          n_atoms_(n_atoms),
          by_sample_(static_cast<std::size_t>(n_rows * n_atoms)),
          by_atom_(static_cast<std::size_t>(n_rows * n_atoms)),
          used_by_sample_(static_cast<std::size_t>(n_rows)),
          used_of_atom_(static_cast<std::size_t>(n_atoms)),
          columns_(n_rows, block),
          squares_(n_rows, v::width) {}

    /// For the first `count` rows with the codes `codes` (n_atoms a row): errors(i) where `errors` is not null, and
    /// cross(k, :) += sum over i of codes(i, k) * row i where `cross`, of the shape of the atoms, is not null. Each error
    /// depends on its row, its codes and the atoms alone, to the bit.
    void compute(const tile_rows<T>& rows, std::int64_t count, std::int64_t n_cols, const T* codes, const matrix<T>& atoms,
                 double* errors, T* cross) {
        constexpr std::int64_t chunk = terms_in_a_sum * v::width;
        collect(count, codes, cross != nullptr);
        if (errors != nullptr) std::fill_n(errors, count, 0.0);
        for (std::int64_t begin = 0; begin < n_cols; begin += chunk) {
            const std::int64_t end = std::min(begin + chunk, n_cols);
            std::fill_n(squares_.data(), count * v::width, T{});
            for (std::int64_t d = begin; d < end; d += block) {
                const auto n_packets = static_cast<int>(std::min(block, end - d) / v::width);
                kernels::with_count<packets>(n_packets, [&](auto packets_here) {
                    if (errors != nullptr) {
                        for (std::int64_t i = 0; i < count; ++i) {
                            add_squares<packets_here>(rows.row(i) + d, i, atoms.data() + d, atoms.cols());
                        }
                    } else {
                        for (std::int64_t i = 0; i < count; ++i) take_columns<packets_here>(rows.row(i) + d, i);
                    }
                    if (cross == nullptr) return;
                    for (std::int64_t k = 0; k < n_atoms_; ++k) add_samples<packets_here>(k, cross + k * atoms.cols() + d);
                });
            }
            if (errors == nullptr) continue;
            for (std::int64_t i = 0; i < count; ++i) errors[i] += static_cast<double>(v::sum(v::load(squares_.row(i))));
        }
    }

private:
    using v = simd<T>;
    // As many sums as hide the latency of a fused multiply-add.
    static constexpr int packets = 8;
    static constexpr std::int64_t block = packets * v::width;

    struct entry {
        std::int32_t index;  // of the atom in the lists by sample, of the sample in those by atom
        T code;
    };

    void collect(std::int64_t count, const T* codes, bool with_atoms) {
        std::fill(used_of_atom_.begin(), used_of_atom_.end(), std::size_t{0});
        for (std::int64_t i = 0; i < count; ++i) {
            entry* const first = by_sample_.data() + i * n_atoms_;
            entry* next = first;
            for (std::int64_t k = 0; k < n_atoms_; ++k) {
                const T code = codes[i * n_atoms_ + k];
                if (code == T{}) continue;
                *next++ = {static_cast<std::int32_t>(k), -code};
                if (with_atoms) {
                    std::size_t& used = used_of_atom_[static_cast<std::size_t>(k)];
                    by_atom_[static_cast<std::size_t>(k * n_rows_) + used] = {static_cast<std::int32_t>(i), code};
                    ++used;
                }
            }
            used_by_sample_[static_cast<std::size_t>(i)] = static_cast<std::size_t>(next - first);
        }
    }

    /// Copies the columns of x beside those of the other rows: in place they may all compete for the same lines of the
    /// first-level cache.
    template <int Packets>
    void take_columns(const T* x, std::int64_t i) {
        T* columns = columns_.row(i);
        for (int p = 0; p < Packets; ++p) v::store(columns + p * v::width, v::load_unaligned(x + p * v::width));
    }

    /// Takes the columns too.
    template <int Packets>
    void add_squares(const T* x, std::int64_t i, const T* atoms, std::int64_t stride) {
        T* columns = columns_.row(i);
        typename v::packet left[Packets];
        for (int p = 0; p < Packets; ++p) {
            left[p] = v::load_unaligned(x + p * v::width);
            v::store(columns + p * v::width, left[p]);
        }
        const entry* const first = by_sample_.data() + i * n_atoms_;
        for (const entry* e = first; e != first + used_by_sample_[static_cast<std::size_t>(i)]; ++e) {
            const T* atom = atoms + e->index * stride;
            const auto code = v::broadcast(e->code);
            for (int p = 0; p < Packets; ++p) left[p] = v::madd(code, v::load(atom + p * v::width), left[p]);
        }
        // Two sums, so that neither waits for the other.
        auto squares = v::load(squares_.row(i));
        auto more = v::mul(left[0], left[0]);
        for (int p = 1; p + 1 < Packets; p += 2) {
            squares = v::madd(left[p], left[p], squares);
            more = v::madd(left[p + 1], left[p + 1], more);
        }
        if constexpr (Packets % 2 == 0) squares = v::madd(left[Packets - 1], left[Packets - 1], squares);
        v::store(squares_.row(i), v::add(squares, more));
    }

    template <int Packets>
    void add_samples(std::int64_t k, T* out) const {
        typename v::packet sums[Packets];
        for (int p = 0; p < Packets; ++p) sums[p] = v::load(out + p * v::width);
        const entry* const first = by_atom_.data() + k * n_rows_;
        for (const entry* e = first; e != first + used_of_atom_[static_cast<std::size_t>(k)]; ++e) {
            const T* columns = columns_.row(e->index);
            const auto code = v::broadcast(e->code);
            for (int p = 0; p < Packets; ++p) sums[p] = v::madd(code, v::load(columns + p * v::width), sums[p]);
        }
        for (int p = 0; p < Packets; ++p) v::store(out + p * v::width, sums[p]);
    }

    std::int64_t n_rows_ = 0;
    std::int64_t n_atoms_ = 0;
    std::vector<entry> by_sample_;
    std::vector<entry> by_atom_;
    std::vector<std::size_t> used_by_sample_;
    std::vector<std::size_t> used_of_atom_;
    matrix<T> columns_;  // n_rows x block
    matrix<T> squares_;  // a register a row
};

}  // namespace coxlmm::linalg
