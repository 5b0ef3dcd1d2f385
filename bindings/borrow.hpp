// SPDX-License-Identifier: Apache-2.0
// A matrix that Python owns, seen where it lies.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <variant>
#include <vector>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/half.hpp"
#include "coxlmm/core/matrix_ref.hpp"

namespace coxlmm::python {

using any_view =
    std::variant<matrix_ref<const float>, matrix_ref<const double>, matrix_ref<const half>, matrix_ref<const bfloat16>>;

/// A view of somebody's elements, and the Python object that keeps them where they are.
struct borrowed {
    pybind11::object owner;
    any_view view;
};

/// The matrix `value`, of any strides.
///
/// Nothing is copied of numpy arrays of float32, float64, float16 and bfloat16 (that of ml_dtypes, or a record dtype
/// whose one field is named "bfloat16") and of whatever lends such elements through DLPack: torch tensors, those that
/// require a gradient too (their values are read, no gradient flows). A copy is made of numpy arrays that cannot be
/// read in place: another byte order, misaligned, or strides that are no multiple of the element (one field of a
/// record); of booleans, integers and long doubles, which become float64; and of lists and other array-likes.
///
/// Throws, naming it `name`: ValueError for other than two dimensions, and for a tensor whose values are not what lies
/// in its memory (sparse, negated); TypeError for complex numbers, strings and objects, and for what is not in the
/// memory of the processor: it names the device, and nothing is moved.
borrowed borrow(pybind11::handle value, const std::string& name);

/// The matrices of a coxlmm.RowBlocks, one below the other, or `value` alone. At least one.
std::vector<borrowed> borrow_blocks(pybind11::handle value, const std::string& name);

/// Whether elements are computed with as double.
inline bool is_double(const any_view& view) { return std::holds_alternative<matrix_ref<const double>>(view); }

}  // namespace coxlmm::python
