// SPDX-License-Identifier: Apache-2.0
// Between numpy and coxlmm: arrays are read where they lie, results are handed over without a copy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm::python {

namespace py = pybind11;

/// A numpy array and a view of its elements: the array keeps the memory alive while the view is used.
template <class T>
struct borrowed {
    py::array array;
    matrix_ref<const T> view;
};

/// Any array-like as an array of real numbers with two dimensions. float16 becomes float32, and booleans and integers
/// become float64; complex numbers, strings and objects are refused.
inline py::array as_real_matrix(py::handle value, const char* name) {
    const auto numpy = py::module_::import("numpy");
    const py::array array = numpy.attr("asarray")(value);
    if (array.ndim() != 2) {
        throw std::invalid_argument(std::string(name) + " must have 2 dimensions; got " + std::to_string(array.ndim()) +
                                    " with shape " + py::repr(array.attr("shape")).cast<std::string>());
    }
    switch (array.dtype().kind()) {
        case 'f': return array.itemsize() < 4 ? py::array(numpy.attr("asarray")(array, "float32")) : array;
        case 'b':
        case 'i':
        case 'u': return numpy.attr("asarray")(array, "float64");
        default:
            throw py::type_error(std::string(name) + " must hold real numbers; got " +
                                 py::repr(array.dtype()).cast<std::string>());
    }
}

inline bool is_single(const py::array& array) { return array.itemsize() == sizeof(float); }

/// A view of the elements as `T`, whatever the strides. A copy is made only where they cannot be read in place: another
/// precision, another byte order, misaligned, or strides that are no multiple of the element (one field of a record).
template <class T>
borrowed<T> borrow(py::array array) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    const auto wanted = py::dtype::of<T>();
    const bool aligned = (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
    const bool whole_steps = array.strides(0) % size == 0 && array.strides(1) % size == 0;
    if (!array.dtype().equal(wanted) || !aligned || !whole_steps) {
        array = py::module_::import("numpy").attr("array")(array, wanted, py::arg("order") = "C");
    }
    const matrix_ref<const T> view(static_cast<const T*>(array.data()), array.shape(0), array.shape(1),
                                   array.strides(0) / size, array.strides(1) / size);
    return {std::move(array), view};
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
