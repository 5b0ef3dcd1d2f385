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

/// |x - v U|^2 of the samples of a tile, from the residuals themselves.
///
/// The identity |x|^2 - 2 c v + v G v costs nothing but loses eps |x|^2, which in float is more than the objective of
/// states with a large mean or a few massive features can spare: the descent would stop at the noise.
template <class T>
class residual_errors {
public:
    residual_errors() = default;
    residual_errors(std::int64_t n_rows, std::int64_t n_atoms)
        : n_atoms_(n_atoms),
          atom_of_(static_cast<std::size_t>(n_rows * n_atoms)),
          negated_(static_cast<std::size_t>(n_rows * n_atoms)),
          n_used_(static_cast<std::size_t>(n_rows)) {}

    /// errors(i) for the first `count` rows of the tile with the codes `codes` (row-major, n_atoms a row). Codes that are
    /// zero cost nothing. Each entry depends on its row, its codes and the atoms alone, to the bit.
    void compute(const T* tile, std::int64_t count, const T* codes, const matrix<T>& atoms, double* errors) {
        // Features of a chunk: those of every atom together stay in the first-level cache while the samples pass by.
        const std::int64_t chunk = std::clamp<std::int64_t>(round_up(4096 / n_atoms_, block), block, 256);
        const std::int64_t stride = atoms.cols();
        collect(count, codes);
        std::fill_n(errors, count, 0.0);
        for (std::int64_t begin = 0; begin < stride; begin += chunk) {
            const std::int64_t end = std::min(begin + chunk, stride);
            for (std::int64_t i = 0; i < count; ++i) {
                auto squares = v::broadcast(T{});
                std::int64_t d = begin;
                for (; d + block <= end; d += block) add_squares<packets>(tile + i * stride + d, i, atoms, d, squares);
                for (; d < end; d += v::width) add_squares<1>(tile + i * stride + d, i, atoms, d, squares);
                errors[i] += static_cast<double>(v::sum(squares));
            }
        }
    }

private:
    using v = simd<T>;
    static constexpr int packets = 4;
    static constexpr std::int64_t block = packets * v::width;

    /// The atoms that each sample uses.
    void collect(std::int64_t count, const T* codes) {
        for (std::int64_t i = 0; i < count; ++i) {
            std::size_t used = 0;
            const auto first = static_cast<std::size_t>(i * n_atoms_);
            for (std::int64_t k = 0; k < n_atoms_; ++k) {
                const T code = codes[i * n_atoms_ + k];
                if (code == T{}) continue;
                atom_of_[first + used] = k;
                negated_[first + used] = -code;
                ++used;
            }
            n_used_[static_cast<std::size_t>(i)] = used;
        }
    }

    template <int Packets>
    void add_squares(const T* x, std::int64_t i, const matrix<T>& atoms, std::int64_t d, typename v::packet& squares) const {
        const auto first = static_cast<std::size_t>(i * n_atoms_);
        typename v::packet left[Packets];
        for (int p = 0; p < Packets; ++p) left[p] = v::load(x + p * v::width);
        for (std::size_t a = first; a < first + n_used_[static_cast<std::size_t>(i)]; ++a) {
            const T* atom = atoms.row(atom_of_[a]) + d;
            const auto code = v::broadcast(negated_[a]);
            for (int p = 0; p < Packets; ++p) left[p] = v::madd(code, v::load(atom + p * v::width), left[p]);
        }
        for (int p = 0; p < Packets; ++p) squares = v::madd(left[p], left[p], squares);
    }

    std::int64_t n_atoms_ = 0;
    std::vector<std::int64_t> atom_of_;
    std::vector<T> negated_;
    std::vector<std::size_t> n_used_;
};

}  // namespace coxlmm::linalg
