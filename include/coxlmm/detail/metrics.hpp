// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

/// Mean over k of the mean over l != k of |T_k and T_l in common| / |T_k|. A token that n concepts share is shared by
/// each of them with n - 1 others: one count of the tokens, instead of one comparison a pair of concepts.
inline double mean_overlap(std::vector<std::vector<std::int64_t>> tokens) {
    const std::size_t n_concepts = tokens.size();
    if (n_concepts < 2) throw_invalid("the overlap is between concepts: at least 2 are needed, got ", n_concepts);
    std::unordered_map<std::int64_t, std::int64_t> users;
    for (std::size_t k = 0; k < n_concepts; ++k) {
        auto& own = tokens[k];
        if (own.empty()) throw_invalid("concept ", k, " has no tokens: its overlap with others is not defined");
        std::sort(own.begin(), own.end());
        own.erase(std::unique(own.begin(), own.end()), own.end());
        for (const std::int64_t token : own) ++users[token];
    }
    double total = 0;
    for (const auto& own : tokens) {
        std::int64_t shared = 0;
        for (const std::int64_t token : own) shared += users[token] - 1;
        total += static_cast<double>(shared) / static_cast<double>(own.size());
    }
    return total / static_cast<double>(n_concepts) / static_cast<double>(n_concepts - 1);
}

struct error_sums {
    double left = 0;   // |X - codes dictionary|^2
    double whole = 0;  // |X|^2
};

template <class T>
error_sums squared_errors(const row_blocks<T>& x, const row_blocks<T>& codes, const row_blocks<T>& dictionary,
                          thread_pool& pool) {
    linalg::require_range<T>(linalg::checked_norms(x, "X", pool), "X");
    const std::int64_t k = dictionary.rows();
    const auto atoms = linalg::pack_matrix(dictionary);
    const auto part = linalg::partition::of<T>(x.rows(), x.cols(), k);
    struct scratch {
        matrix<T> codes;
        matrix<T> negated;  // transposed
    };
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    std::vector<error_sums> groups(static_cast<std::size_t>(part.n_groups));
    linalg::for_each_centred_tile(x, linalg::origin<T>{}, part, pool,
                                  [&](matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t g, int worker) {
                                      auto& s = scratches[static_cast<std::size_t>(worker)];
                                      auto& sums = groups[static_cast<std::size_t>(g)];
                                      if (s.codes.size() == 0)
                                          s = {matrix<T>(part.tile, linalg::padded_length<T>(k)), matrix<T>(k, part.tile)};
                                      linalg::pack_rows(codes, first, count, s.codes.data(), part.tile, s.codes.cols());
                                      for (std::int64_t i = 0; i < count; ++i) {
                                          for (std::int64_t a = 0; a < k; ++a) s.negated(a, i) = -s.codes(i, a);
                                          sums.whole += linalg::squared_norm(tile.row(i), tile.cols());
                                      }
                                      linalg::accumulate_outer(s.negated.data(), part.tile, atoms.data(), k, count,
                                                               tile.cols(), tile.data());
                                      for (std::int64_t i = 0; i < count; ++i)
                                          sums.left += linalg::squared_norm(tile.row(i), tile.cols());
                                  });
    error_sums total;
    for (const auto& sums : groups) {
        total.left += sums.left;
        total.whole += sums.whole;
    }
    return total;
}

}  // namespace coxlmm::detail
