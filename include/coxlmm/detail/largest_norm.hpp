// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

template <class T>
struct longest_samples {
    matrix<T> rows;  // of unit length
    std::vector<std::int64_t> indices;
};

template <class T>
longest_samples<T> find_longest(const row_blocks<T>& x, std::int64_t n, thread_pool& pool) {
    const auto norms = linalg::checked_norms(x, "X", pool);
    linalg::require_range<T>(norms, "X");
    const auto norm = [&](std::int64_t i) { return norms[static_cast<std::size_t>(i)]; };
    std::vector<std::int64_t> order(norms.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::partial_sort(order.begin(), order.begin() + n, order.end(),
                      [&](std::int64_t a, std::int64_t b) { return norm(a) != norm(b) ? norm(a) > norm(b) : a < b; });
    order.resize(static_cast<std::size_t>(n));
    longest_samples<T> found{matrix<T>(n, x.cols()), std::move(order)};
    matrix<T> row(1, linalg::padded_length<T>(x.cols()));
    for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = found.indices[static_cast<std::size_t>(k)];
        if (!(norm(i) > 0)) {
            throw_invalid("n_components is ", n, " but only ", k, " samples of X are not zero: lower n_components");
        }
        linalg::pack_rows(x, i, 1, row.data(), 1, row.cols());
        for (std::int64_t d = 0; d < x.cols(); ++d)
            found.rows(k, d) = static_cast<T>(static_cast<double>(row(0, d)) / norm(i));
    }
    return found;
}

}  // namespace coxlmm::detail
