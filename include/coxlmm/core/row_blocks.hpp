// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"
#include "coxlmm/core/half.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm {

/// A matrix that somebody else owns and whose rows lie in one or more blocks of memory, say memory-mapped files. It is
/// computed with as T, float or double; a block may store T or, where T is float, half or bfloat16. Nothing is
/// converted before it is read.
template <class T>
class row_blocks {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);

public:
    using value_type = T;

    row_blocks() = default;

    /// One block: a view of all rows of `m`.
    template <MatrixView M>
        requires std::same_as<compute_t<M>, T>
    explicit row_blocks(const M& m) {
        append(m);
    }

    /// Adds the rows of `m` below those there are. Throws std::invalid_argument if it has another number of columns.
    template <MatrixView M>
        requires std::same_as<compute_t<M>, T>
    void append(const M& m) {
        const auto block = view(m);
        if (!blocks_.empty() && block.cols != cols_) {
            throw_invalid("block ", blocks_.size(), " has ", block.cols, " columns but those above it have ", cols_);
        }
        if (block.rows < 0 || block.cols < 0) {
            throw_invalid("block ", blocks_.size(), " has shape ", block.rows, " x ", block.cols, ": lengths are at least 0");
        }
        if (block.rows > 0 && block.cols > 0 && block.data == nullptr) {
            throw_invalid("block ", blocks_.size(), " has shape ", block.rows, " x ", block.cols, " but its pointer is null");
        }
        blocks_.push_back({rows_, block});
        rows_ += block.rows;
        cols_ = block.cols;
    }

    std::int64_t rows() const noexcept { return rows_; }
    std::int64_t cols() const noexcept { return cols_; }

    T operator()(std::int64_t i, std::int64_t j) const {
        T value{};
        for_each_part(i, 1, [&](const auto& part, std::int64_t) { value = static_cast<T>(part(0, j)); });
        return value;
    }

    /// Rows [first, first + count) where they lie: f(view of some of them, how many come before those).
    template <class F>
    void for_each_part(std::int64_t first, std::int64_t count, const F& f) const {
        auto block = std::prev(std::upper_bound(blocks_.begin(), blocks_.end(), first,
                                                [](std::int64_t i, const placed& b) { return i < b.first; }));
        std::int64_t done = 0;
        while (done < count) {
            std::visit(
                [&](const auto& rows) {
                    const std::int64_t begin = first + done - block->first;
                    const std::int64_t here = std::min(rows.rows - begin, count - done);
                    if (here < 1) return;
                    auto part = rows;
                    part.data += begin * rows.row_stride;
                    part.rows = here;
                    f(part, done);
                    done += here;
                },
                block->rows);
            ++block;
        }
    }

    /// Rows 0, step, 2 step, ...
    row_blocks every(std::int64_t step) const {
        row_blocks some;
        some.cols_ = cols_;
        for (const auto& block : blocks_) {
            std::visit(
                [&](const auto& rows) {
                    const std::int64_t skipped = (step - block.first % step) % step;
                    if (skipped >= rows.rows) return;
                    auto part = rows;
                    part.data += skipped * rows.row_stride;
                    part.rows = (rows.rows - skipped + step - 1) / step;
                    part.row_stride *= step;
                    some.blocks_.push_back({some.rows_, part});
                    some.rows_ += part.rows;
                },
                block.rows);
        }
        return some;
    }

private:
    template <class S>
    struct stored {
        using type = std::variant<matrix_ref<const S>, matrix_ref<const half>, matrix_ref<const bfloat16>>;
    };
    struct placed {
        std::int64_t first;
        std::conditional_t<std::is_same_v<T, double>, std::variant<matrix_ref<const double>>, typename stored<T>::type> rows;
    };

    std::vector<placed> blocks_;
    std::int64_t rows_ = 0;
    std::int64_t cols_ = 0;
};

namespace detail {
template <class M>
struct sample_precision {
    using type = compute_t<M>;
};
template <class T>
struct sample_precision<row_blocks<T>> {
    using type = T;
};
}  // namespace detail

/// What it is computed with, `float` or `double`.
template <SampleMatrix M>
using precision_t = typename detail::sample_precision<std::remove_cvref_t<M>>::type;

/// Both are computed with as `float`, or both as `double`: which one to convert is the caller's decision.
template <class M, class U>
concept HaveSamePrecision = std::same_as<precision_t<M>, precision_t<U>>;

template <SampleMatrix M>
row_blocks<precision_t<M>> as_row_blocks(const M& m) {
    return row_blocks<precision_t<M>>(m);
}

/// Refuses a matrix without rows or without columns.
template <class T>
void require_nonempty(const row_blocks<T>& m, const char* name) {
    if (m.rows() < 1 || m.cols() < 1) {
        throw_invalid(name, " is empty: its shape is ", m.rows(), " x ", m.cols(), ", and it needs at least one row and one column");
    }
}

/// Refuses an empty matrix, and a number of concepts or clusters, called `name`, outside 1, ..., number of samples.
template <class T>
void require_count(const row_blocks<T>& samples, std::int64_t k, const char* name) {
    require_nonempty(samples, "X");
    if (k < 1) throw_invalid(name, " is ", k, ": at least 1 is needed");
    if (k > samples.rows()) {
        throw_invalid(name, " is ", k, " but X has only ", samples.rows(), " samples (its shape is ", samples.rows(), " x ",
                      samples.cols(), "): lower ", name, " or give more samples");
    }
}

/// Refuses NaN and infinity, naming the first one of rows [first, last).
template <class T>
void require_finite(const row_blocks<T>& m, const char* name, std::int64_t first, std::int64_t last) {
    m.for_each_part(first, last - first, [&](const auto& part, std::int64_t before) {
        require_finite(part, name, 0, part.rows, first + before);
    });
}

}  // namespace coxlmm
