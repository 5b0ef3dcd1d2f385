// SPDX-License-Identifier: Apache-2.0
// Between Python and coxlmm: matrices are read where they lie, results are handed over without a copy.
//
// A binding reads its large operand through with_samples, which decides the precision of the computation, and the small
// ones through samples_as<T>, which follow it:
//
//     return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
//         const samples_as<T> atoms(dictionary, "dictionary");
//         auto found = without_lock([&] { return coxlmm::sparse_encode(samples, atoms.rows(), options); });
//         return release(std::move(found.codes));
//     });
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "borrow.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"

namespace coxlmm::python {

namespace py = pybind11;

/// Calls `f` with one matrix as a view of what is stored: matrix_ref<const S>, S being float, double, half or bfloat16.
/// For what `borrow` accepts; a RowBlocks is refused, because these functions look at a matrix in one piece.
template <class F>
auto with_matrix(py::handle value, const std::string& name, const F& f) {
    const borrowed matrix = borrow(value, name);
    return std::visit(f, matrix.view);
}

/// Calls `f` with the rows of a matrix as they are computed with: row_blocks<double> for float64, booleans, integers
/// and long doubles, row_blocks<float> for float32, float16 and bfloat16. For what `borrow` accepts, which says what is
/// copied (hardly anything) and what is refused, and for a coxlmm.RowBlocks of such matrices.
///
/// The memory is held while `f` runs, with the interpreter's lock; `f` lets go of the lock where it computes.
template <class F>
auto with_samples(py::handle value, const std::string& name, const F& f) {
    const std::vector<borrowed> blocks = borrow_blocks(value, name);
    const auto gathered = [&]<class T>(row_blocks<T> rows) {
        for (const borrowed& block : blocks) {
            std::visit(
                [&]<class S>(const matrix_ref<const S>& view) {
                    if constexpr (std::is_same_v<compute_t<matrix_ref<const S>>, T>) rows.append(view);
                },
                block.view);
        }
        return f(std::as_const(rows));
    };
    return is_double(blocks.front().view) ? gathered(row_blocks<double>()) : gathered(row_blocks<float>());
}

/// A copy with other elements, for small operands.
template <class T, class S>
matrix<T> converted_to(const matrix_ref<const S>& view) {
    matrix<T> converted(view.rows, view.cols);
    for (std::int64_t i = 0; i < view.rows; ++i) {
        for (std::int64_t j = 0; j < view.cols; ++j) converted(i, j) = static_cast<T>(view(i, j));
    }
    return converted;
}

/// The rows of a matrix as T, where another operand has decided for T. Read in place if it is computed with as T anyway,
/// otherwise converted: for operands that are small beside that other one.
template <class T>
class samples_as {
public:
    samples_as(py::handle value, const std::string& name) : blocks_(borrow_blocks(value, name)) {
        for (const borrowed& block : blocks_) {
            std::visit([this](const auto& view) { this->append(view); }, block.view);
        }
    }

    const row_blocks<T>& rows() const noexcept { return rows_; }

private:
    template <class S>
    void append(const matrix_ref<const S>& view) {
        if constexpr (std::is_same_v<compute_t<matrix_ref<const S>>, T>) {
            rows_.append(view);
        } else {
            converted_.push_back(converted_to<T>(view));
            rows_.append(converted_.back());
        }
    }

    std::vector<borrowed> blocks_;
    std::vector<matrix<T>> converted_;  // moving one leaves its elements where they are
    row_blocks<T> rows_;
};

/// What `f` returns, computed without the interpreter's lock: other Python threads run meanwhile.
template <class F>
auto without_lock(const F& f) {
    const py::gil_scoped_release no_lock;
    return f();
}

/// Gives the memory of `values` to numpy, which frees it with the last array that looks at it.
template <class T>
py::array release(matrix<T>&& values) {
    auto owned = std::make_unique<matrix<T>>(std::move(values));
    const auto rows = static_cast<py::ssize_t>(owned->rows());
    const auto cols = static_cast<py::ssize_t>(owned->cols());
    T* const data = owned->data();
    const py::capsule owner(owned.get(), [](void* p) { delete static_cast<matrix<T>*>(p); });
    owned.release();
    return py::array_t<T>({rows, cols}, data, owner);
}

template <class T>
py::array release(std::vector<T>&& values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    const auto count = static_cast<py::ssize_t>(owned->size());
    T* const data = owned->data();
    const py::capsule owner(owned.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
    owned.release();
    return py::array_t<T>({count}, data, owner);
}

/// For the algorithms' checkpoints: lets Python handle signals, so that Ctrl-C ends a long call.
inline void handle_signals() {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

}  // namespace coxlmm::python
