// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

/// The best `capacity` of a stream of (score, index), ties going to the lower index.
template <class T>
class top_list {
public:
    explicit top_list(std::int64_t capacity) : capacity_(static_cast<std::size_t>(capacity)) { heap_.reserve(capacity_); }

    void offer(T score, std::int64_t index) {
        const entry candidate{score, index};
        if (heap_.size() < capacity_) {
            heap_.push_back(candidate);
            std::push_heap(heap_.begin(), heap_.end(), better);
        } else if (better(candidate, heap_.front())) {
            std::pop_heap(heap_.begin(), heap_.end(), better);
            heap_.back() = candidate;
            std::push_heap(heap_.begin(), heap_.end(), better);
        }
    }

    void merge(const top_list& other) {
        for (const auto& [score, index] : other.heap_) offer(score, index);
    }

    /// Best first. Consumes the list.
    void write(std::int64_t* indices, T* scores) {
        std::sort_heap(heap_.begin(), heap_.end(), better);
        for (std::size_t r = 0; r < heap_.size(); ++r) {
            scores[r] = heap_[r].first;
            indices[r] = heap_[r].second;
        }
    }

private:
    using entry = std::pair<T, std::int64_t>;
    static bool better(const entry& a, const entry& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    }

    std::size_t capacity_;
    std::vector<entry> heap_;  // the worst kept entry in front
};

template <class T>
struct ranking {
    matrix<std::int64_t> indices;
    matrix<T> values;
};

/// For every atom the rows of `table` with the largest inner product. Reads the table once, a tile at a time; `name` is
/// what a complaint about its values calls it.
template <class T>
ranking<T> rank_by_inner_product(const row_blocks<T>& dictionary, const row_blocks<T>& table,
                                 const char* name, std::int64_t top, thread_pool& pool) {
    const auto atoms = linalg::pack_matrix(dictionary);
    const std::int64_t k = atoms.rows();
    const std::int64_t stride = atoms.cols();
    const auto part = linalg::partition::of<T>(table.rows(), table.cols(), k);
    std::vector<std::vector<top_list<T>>> best(static_cast<std::size_t>(part.n_groups),
                                               std::vector<top_list<T>>(static_cast<std::size_t>(k), top_list<T>(top)));
    struct scratch {
        matrix<T> rows;
        matrix<double> products;
    };
    linalg::first_bad_row bad;
    std::vector<scratch> scratches(static_cast<std::size_t>(pool.size()));
    pool.run(part.n_groups, [&](std::int64_t g, int worker) {
        auto& s = scratches[static_cast<std::size_t>(worker)];
        if (s.rows.size() == 0) s = {matrix<T>(part.tile, stride), matrix<double>(k, part.tile)};
        for (std::int64_t t = part.first_tile(g); t < part.first_tile(g + 1); ++t) {
            const std::int64_t first = t * part.tile;
            const std::int64_t count = std::min(part.tile, table.rows() - first);
            linalg::pack_rows(table, first, count, s.rows.data(), part.tile, stride);
            for (std::int64_t i = 0; i < count; ++i) bad.check(s.rows.row(i), stride, first + i);
            linalg::dot_products(s.rows.data(), part.tile, atoms.data(), k, stride, s.products.data(), part.tile);
            for (std::int64_t a = 0; a < k; ++a) {
                auto& list = best[static_cast<std::size_t>(g)][static_cast<std::size_t>(a)];
                for (std::int64_t i = 0; i < count; ++i) list.offer(static_cast<T>(s.products(a, i)), first + i);
            }
            pool.step();
        }
    });
    bad.complain(table, name);
    ranking<T> result{matrix<std::int64_t>(k, top), matrix<T>(k, top)};
    for (std::int64_t a = 0; a < k; ++a) {
        auto& all = best.front()[static_cast<std::size_t>(a)];
        for (std::size_t g = 1; g < best.size(); ++g) all.merge(best[g][static_cast<std::size_t>(a)]);
        all.write(result.indices.row(a), result.values.row(a));
    }
    return result;
}

/// For every row of `m` its largest entries.
template <class T, class S>
ranking<T> rank_rows(const matrix_ref<const S>& m, std::int64_t top) {
    ranking<T> result{matrix<std::int64_t>(m.rows, top), matrix<T>(m.rows, top)};
    for (std::int64_t i = 0; i < m.rows; ++i) {
        top_list<T> list(top);
        for (std::int64_t j = 0; j < m.cols; ++j) list.offer(static_cast<T>(m(i, j)), j);
        list.write(result.indices.row(i), result.values.row(i));
    }
    return result;
}

}  // namespace coxlmm::detail
