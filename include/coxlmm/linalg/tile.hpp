// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/simd.hpp"

/// Tiles: a few dozen samples copied side by side into aligned, zero-padded rows. All arithmetic runs on tiles, so the
/// strides and the alignment of the caller's matrix cannot change a single bit of a result, and a tile that was read
/// once from memory stays in the cache for every product it is needed for.
namespace coxlmm::linalg {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// Elements from one row of a tile to the next. Never a multiple of 4 KiB: rows that far apart would compete for the
/// same few lines of the first-level cache.
template <class T>
constexpr std::int64_t padded_length(std::int64_t n_features) {
    constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
    const std::int64_t padded = round_up(std::max<std::int64_t>(n_features, 1), line);
    return padded % (16 * line) == 0 ? padded + line : padded;
}

/// Samples in a tile: 32 or 64, so that a tile of the usual width is about half a megabyte.
template <class T>
constexpr std::int64_t tile_samples(std::int64_t n_features) {
    return n_features * static_cast<std::int64_t>(sizeof(T)) * 64 <= 512 * 1024 ? 64 : 32;
}

/// The rows of `x` -> rows of `tile` (stride `stride`), upcast.
template <class S, class T>
void copy_rows(const matrix_ref<const S>& x, T* tile, std::int64_t stride) {
    if (x.col_stride == 1) {
        for (std::int64_t i = 0; i < x.rows; ++i) {
            const S* source = x.data + i * x.row_stride;
            T* target = tile + i * stride;
            if constexpr (std::is_same_v<S, T>) {
                std::copy_n(source, x.cols, target);
                continue;
            }
            for (std::int64_t j = 0; j < x.cols; ++j) target[j] = static_cast<T>(source[j]);
        }
    } else {
        for (std::int64_t j = 0; j < x.cols; ++j) {
            const S* column = x.data + j * x.col_stride;
            for (std::int64_t i = 0; i < x.rows; ++i) tile[i * stride + j] = static_cast<T>(column[i * x.row_stride]);
        }
    }
}

/// Rows [first, first + count) of `x` -> the first rows of `tile` (stride `stride`); the other rows up to `n_rows` and
/// the padding become zero.
template <class T>
void pack_rows(const row_blocks<T>& x, std::int64_t first, std::int64_t count, T* tile, std::int64_t n_rows, std::int64_t stride) {
    x.for_each_part(first, count, [&](const auto& part, std::int64_t before) { copy_rows(part, tile + before * stride, stride); });
    for (std::int64_t i = 0; i < count; ++i) std::fill(tile + i * stride + x.cols(), tile + (i + 1) * stride, T{});
    std::fill(tile + count * stride, tile + n_rows * stride, T{});
}

/// Elements of a row that the kernels run over: the features, filled up to whole cache lines.
template <class T>
constexpr std::int64_t whole_lines(std::int64_t n_features) {
    return round_up(n_features, 64 / static_cast<std::int64_t>(sizeof(T)));
}

/// Some rows of a matrix as the kernels read them: `whole_lines(n_features)` elements each, of any alignment.
template <class T>
struct tile_rows {
    const T* data;
    std::int64_t stride;

    const T* row(std::int64_t i) const { return data + i * stride; }
};

/// Rows [first, first + count) of `x`: where they lie if they are contiguous rows of T that end with a cache line,
/// packed into `scratch` otherwise. Both give the same bits.
template <class T>
tile_rows<T> rows_of(const row_blocks<T>& x, std::int64_t first, std::int64_t count, matrix<T>& scratch) {
    if (whole_lines<T>(x.cols()) == x.cols()) {
        tile_rows<T> in_place{nullptr, 0};
        x.for_each_part(first, count, [&]<class S>(const matrix_ref<const S>& part, std::int64_t) {
            if constexpr (std::is_same_v<S, T>) {
                if (part.rows == count && part.col_stride == 1) in_place = {part.data, part.row_stride};
            }
        });
        if (in_place.data != nullptr) return in_place;
    }
    const std::int64_t stride = padded_length<T>(x.cols());
    if (scratch.rows() < count || scratch.cols() != stride) scratch = matrix<T>(count, stride);
    pack_rows(x, first, count, scratch.data(), count, stride);
    return {scratch.data(), stride};
}

/// A whole matrix in padded rows, as the kernels below want it.
template <class T>
matrix<T> pack_matrix(const row_blocks<T>& x) {
    matrix<T> packed(x.rows(), padded_length<T>(x.cols()));
    pack_rows(x, 0, x.rows(), packed.data(), x.rows(), packed.cols());
    return packed;
}

/// Padded rows -> rows without gaps.
template <class T>
matrix<T> unpacked(const matrix<T>& packed, std::int64_t n_features) {
    matrix<T> plain(packed.rows(), n_features);
    for (std::int64_t i = 0; i < packed.rows(); ++i) std::copy_n(packed.row(i), n_features, plain.row(i));
    return plain;
}

/// Whether all of `n` values are finite.
template <class T>
bool all_finite(const T* values, std::int64_t n) {
    bool good = true;
    for (std::int64_t i = 0; i < n; ++i) good &= is_finite(values[i]);
    return good;
}

/// The lowest row that any thread has found to hold a value that is not finite.
class first_bad_row {
public:
    template <class T>
    void check(const T* row, std::int64_t stride, std::int64_t index) {
        if (all_finite(row, stride)) return;
        std::int64_t seen = lowest_.load();
        while (index < seen && !lowest_.compare_exchange_weak(seen, index)) {
        }
    }

    template <class T>
    void complain(const row_blocks<T>& x, const char* name) const {
        if (lowest_ < x.rows()) require_finite(x, name, lowest_, lowest_ + 1);
    }

private:
    std::atomic<std::int64_t> lowest_{std::numeric_limits<std::int64_t>::max()};
};

/// So many products are added up in T, in each lane of a register, then in double: the sums stay as good as the products,
/// whatever the number of features and however large the mean of the data.
inline constexpr std::int64_t terms_in_a_sum = 256;

template <class T>
double dot(const T* a, const T* b, std::int64_t stride) {
    using v = simd<T>;
    constexpr std::int64_t chunk = terms_in_a_sum * v::width;
    double total = 0;
    for (std::int64_t begin = 0; begin < stride; begin += chunk) {
        const std::int64_t end = std::min(begin + chunk, stride);
        auto sum = v::broadcast(T{});
        for (std::int64_t d = begin; d < end; d += v::width) sum = v::madd(v::load(a + d), v::load(b + d), sum);
        total += static_cast<double>(v::sum(sum));
    }
    return total;
}

/// Scales a padded row to unit length, however long or short it is; a zero row stays.
template <class T>
void normalize(T* row, std::int64_t stride) {
    // Squares of the largest and smallest numbers do not fit T.
    T largest{};
    for (std::int64_t d = 0; d < stride; ++d) largest = std::max(largest, std::abs(row[d]));
    if (!(largest > 0)) return;
    int exponent = 0;
    std::frexp(largest, &exponent);
    if (std::abs(exponent) > std::numeric_limits<T>::max_exponent / 4) {
        for (std::int64_t d = 0; d < stride; ++d) row[d] = std::ldexp(row[d], -exponent);
    }
    const double norm = std::sqrt(dot(row, row, stride));
    for (std::int64_t d = 0; d < stride; ++d) row[d] = static_cast<T>(static_cast<double>(row[d]) / norm);
}

namespace kernels {

inline constexpr int dot_rows = 4;

/// Adds to `sums`, a register a pair of atom and row, what features [0, n) of them give.
template <class T, int Rows, int Atoms>
void dots(const T* rows, std::int64_t row_stride, const T* atoms, std::int64_t atom_stride, std::int64_t n, T* sums,
          std::int64_t atom_step) {
    using v = simd<T>;
    typename v::packet sum[Rows][Atoms];
    for (int k = 0; k < Atoms; ++k) {
        for (int i = 0; i < Rows; ++i) sum[i][k] = v::load(sums + k * atom_step + i * v::width);
    }
    for (std::int64_t d = 0; d < n; d += v::width) {
        typename v::packet u[Atoms];
        for (int k = 0; k < Atoms; ++k) u[k] = v::load(atoms + k * atom_stride + d);
        for (int i = 0; i < Rows; ++i) {
            const auto x = v::load_unaligned(rows + i * row_stride + d);
            for (int k = 0; k < Atoms; ++k) sum[i][k] = v::madd(x, u[k], sum[i][k]);
        }
    }
    for (int k = 0; k < Atoms; ++k) {
        for (int i = 0; i < Rows; ++i) v::store(sums + k * atom_step + i * v::width, sum[i][k]);
    }
}

template <class T, int Atoms, int Packets>
void accumulate(const T* codes, std::int64_t codes_stride, const T* rows, std::int64_t row_stride, std::int64_t n_rows, T* out,
                std::int64_t out_stride) {
    using v = simd<T>;
    typename v::packet sums[Atoms][Packets];
    for (int k = 0; k < Atoms; ++k) {
        for (int p = 0; p < Packets; ++p) sums[k][p] = v::load(out + k * out_stride + p * v::width);
    }
    for (std::int64_t i = 0; i < n_rows; ++i) {
        typename v::packet x[Packets];
        for (int p = 0; p < Packets; ++p) x[p] = v::load_unaligned(rows + i * row_stride + p * v::width);
        for (int k = 0; k < Atoms; ++k) {
            const auto c = v::broadcast(codes[i * codes_stride + k]);
            for (int p = 0; p < Packets; ++p) sums[k][p] = v::madd(c, x[p], sums[k][p]);
        }
    }
    for (int k = 0; k < Atoms; ++k) {
        for (int p = 0; p < Packets; ++p) v::store(out + k * out_stride + p * v::width, sums[k][p]);
    }
}

/// Calls `f` with std::integral_constant<int, n> for the run-time n in {1, ..., N}.
template <int N, class F>
void with_count(int n, const F& f) {
    if constexpr (N > 1) {
        if (n < N) {
            with_count<N - 1>(n, f);
            return;
        }
    }
    f(std::integral_constant<int, N>{});
}

/// Splits `n` into the fewest blocks of at most `most`, as even as possible: f(begin, count).
template <class F>
void in_even_blocks(std::int64_t n, std::int64_t most, const F& f) {
    const std::int64_t blocks = (n + most - 1) / most;
    for (std::int64_t b = 0; b < blocks; ++b) f(n * b / blocks, n * (b + 1) / blocks - n * b / blocks);
}


/// Asks for features [begin, begin + n) of rows [first, last): they arrive while others are worked on.
template <class T>
void prefetch([[maybe_unused]] const tile_rows<T>& rows, std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t n) {
#if defined(__GNUC__)
    constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
    for (std::int64_t i = first; i < last; ++i) {
        for (std::int64_t d = begin; d < begin + n; d += line) __builtin_prefetch(rows.row(i) + d, 0, 2);
    }
#endif
}

}  // namespace kernels

/// out(k, i) = <row i, atom k>, in double. Each entry depends on its row and its atom alone, to the bit.
template <class T>
void dot_products(const tile_rows<T>& rows, std::int64_t n_rows, const T* atoms, std::int64_t n_atoms, std::int64_t atom_stride,
                  std::int64_t n_cols, double* out, std::int64_t out_stride) {
    using v = simd<T>;
    // Atoms in the outer loop: `piece` features of a block of them stay in the first-level cache while the rows, which come
    // from the second level, pass by.
    constexpr int most = v::registers >= 32 ? 5 : 3;
    constexpr std::int64_t some_rows = 32;
    constexpr std::int64_t piece = 4096 / static_cast<std::int64_t>(sizeof(T));
    constexpr std::int64_t chunk = terms_in_a_sum * v::width;
    static_assert(chunk % piece == 0);
    alignas(64) T sums[some_rows * most * v::width];
    kernels::in_even_blocks(n_rows, some_rows, [&](std::int64_t first_row, std::int64_t rows_here) {
        kernels::in_even_blocks(n_atoms, most, [&](std::int64_t first_atom, std::int64_t atoms_here) {
            const std::int64_t atom_step = rows_here * v::width;
            for (std::int64_t k = 0; k < atoms_here; ++k) std::fill_n(out + (first_atom + k) * out_stride + first_row, rows_here, 0.0);
            for (std::int64_t begin = 0; begin < n_cols; begin += chunk) {
                std::fill_n(sums, atoms_here * atom_step, T{});
                const std::int64_t end = std::min(begin + chunk, n_cols);
                for (std::int64_t d = begin; d < end; d += piece) {
                    const std::int64_t n = std::min(piece, end - d);
                    kernels::with_count<most>(static_cast<int>(atoms_here), [&](auto atoms_in_block) {
                        kernels::in_even_blocks(rows_here, kernels::dot_rows, [&](std::int64_t i, std::int64_t n_i) {
                            if (first_atom == 0) {
                                kernels::prefetch(rows, first_row + i + n_i, std::min(first_row + i + 2 * n_i, n_rows), d, n);
                            }
                            kernels::with_count<kernels::dot_rows>(static_cast<int>(n_i), [&](auto rows_in_block) {
                                kernels::dots<T, rows_in_block, atoms_in_block>(
                                    rows.row(first_row + i) + d, rows.stride, atoms + first_atom * atom_stride + d, atom_stride, n,
                                    sums + i * v::width, atom_step);
                            });
                        });
                    });
                }
                for (std::int64_t k = 0; k < atoms_here; ++k) {
                    double* products = out + (first_atom + k) * out_stride + first_row;
                    for (std::int64_t i = 0; i < rows_here; ++i) {
                        products[i] += static_cast<double>(v::sum(v::load(sums + k * atom_step + i * v::width)));
                    }
                }
            }
        });
    });
}

/// The same for the rows of a packed tile.
template <class T>
void dot_products(const T* tile, std::int64_t n_rows, const T* atoms, std::int64_t n_atoms, std::int64_t stride, double* out,
                  std::int64_t out_stride) {
    dot_products(tile_rows<T>{tile, stride}, n_rows, atoms, n_atoms, stride, stride, out, out_stride);
}

namespace kernels {

/// accumulate_outer for blocks of at most `Most` atoms and `Packets` registers of features.
template <class T, int Most, int Packets>
void accumulate_blocks(const T* codes, std::int64_t codes_stride, const tile_rows<T>& rows, std::int64_t n_rows, std::int64_t n_atoms,
                       std::int64_t n_cols, T* out, std::int64_t out_stride) {
    constexpr std::int64_t step = Packets * simd<T>::width;
    const std::int64_t whole = n_cols / step * step;
    const auto columns = [&](std::int64_t d, auto n_packets) {
        in_even_blocks(n_atoms, Most, [&](std::int64_t k, std::int64_t count) {
            with_count<Most>(static_cast<int>(count), [&](auto atoms_in_block) {
                accumulate<T, atoms_in_block, n_packets>(codes + k, codes_stride, rows.data + d, rows.stride, n_rows,
                                                         out + k * out_stride + d, out_stride);
            });
        });
    };
    for (std::int64_t d = 0; d < whole; d += step) columns(d, std::integral_constant<int, Packets>{});
    for (std::int64_t d = whole; d < n_cols; d += simd<T>::width) columns(d, std::integral_constant<int, 1>{});
}

}  // namespace kernels

/// out(k, :) += sum over i of codes(i, k) * row i, over `n_cols` features.
template <class T>
void accumulate_outer(const T* codes, std::int64_t codes_stride, const tile_rows<T>& rows, std::int64_t n_rows, std::int64_t n_atoms,
                      std::int64_t n_cols, T* out, std::int64_t out_stride) {
    if (n_atoms == 1) {
        // One sum alone would wait for its own additions: keep eight registers of it in flight.
        kernels::accumulate_blocks<T, 1, 8>(codes, codes_stride, rows, n_rows, n_atoms, n_cols, out, out_stride);
    } else {
        constexpr int most = simd<T>::registers >= 32 ? 10 : 5;
        kernels::accumulate_blocks<T, most, 2>(codes, codes_stride, rows, n_rows, n_atoms, n_cols, out, out_stride);
    }
}

/// The same for the rows of a packed tile.
template <class T>
void accumulate_outer(const T* codes, std::int64_t codes_stride, const T* tile, std::int64_t n_rows, std::int64_t n_atoms,
                      std::int64_t stride, T* out) {
    accumulate_outer(codes, codes_stride, tile_rows<T>{tile, stride}, n_rows, n_atoms, stride, out, stride);
}

}  // namespace coxlmm::linalg
