// SPDX-License-Identifier: Apache-2.0
#include "borrow.hpp"

#include <pybind11/numpy.h>

#include <cstdint>
#include <stdexcept>
#include <utility>

#include "dlpack.hpp"

namespace coxlmm::python {

namespace py = pybind11;

namespace {

std::string text(py::handle value) { return py::str(value).cast<std::string>(); }

[[noreturn]] void refuse_dimensions(const std::string& name, std::int64_t ndim, const py::object& shape) {
    throw std::invalid_argument(name + " must have 2 dimensions; got " + std::to_string(ndim) + " with shape " +
                                text(py::tuple(py::list(shape))));  // torch has a class of its own
}

[[noreturn]] void refuse_elements(const std::string& name, py::handle dtype) {
    throw py::type_error(name + " must hold real numbers; got " + py::repr(dtype).cast<std::string>());
}

[[noreturn]] void refuse_device(const std::string& name, const std::string& device) {
    const std::string advice = device == "meta" ? ", where there is a shape but no values: load them first"
                                                : ", but coxlmm computes on the processor and moves nothing on its own: pass " +
                                                      name + ".cpu(), or what its library calls that";
    throw py::type_error(name + " is on device " + device + advice);
}

// --- numpy ----------------------------------------------------------------------------------------------------------

template <class S>
borrowed view_of(py::array array) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(S));
    const matrix_ref<const S> view(static_cast<const S*>(array.data()), array.shape(0), array.shape(1), array.strides(0) / size,
                                   array.strides(1) / size);
    return {std::move(array), view};
}

bool readable_in_place(const py::array& array) {
    const bool aligned = (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
    const auto size = array.itemsize();
    return aligned && array.strides(0) % size == 0 && array.strides(1) % size == 0;
}

py::array copied(const py::array& array, const py::object& dtype) {
    return py::module_::import("numpy").attr("array")(array, dtype, py::arg("order") = "C", py::arg("subok") = false);
}

bool is_bfloat16(const py::dtype& dtype) {
    if (dtype.kind() != 'V' || dtype.itemsize() != 2) return false;
    if (const py::object names = dtype.attr("names"); !names.is_none()) {
        return py::len(names) == 1 && text(names[py::int_(0)]) == "bfloat16";
    }
    return text(dtype.attr("name")) == "bfloat16";
}

borrowed borrow_array(py::array array, const std::string& name) {
    if (array.ndim() != 2) refuse_dimensions(name, array.ndim(), array.attr("shape"));
    const py::dtype dtype = array.dtype();
    const auto kind = dtype.kind();
    const auto size = dtype.itemsize();
    if (is_bfloat16(dtype)) {
        return view_of<bfloat16>(readable_in_place(array) ? std::move(array) : copied(array, dtype));
    }
    if (kind == 'f') {
        const auto read_as = [&]<class S>(S, const char* wanted) {
            const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
            return view_of<S>(native && readable_in_place(array) ? std::move(array) : copied(array, py::str(wanted)));
        };
        if (size == 2) return read_as(half{}, "float16");
        if (size == 4) return read_as(float{}, "float32");
        if (size == 8) return read_as(double{}, "float64");
    } else if (kind != 'b' && kind != 'i' && kind != 'u') {
        refuse_elements(name, dtype);
    }
    return view_of<double>(copied(array, py::str("float64")));
}

// --- DLPack ---------------------------------------------------------------------------------------------------------

/// What an object says of where it is, "cuda:0" for example; what DLPack says where it has no such attribute.
std::string device_of(py::handle value, std::int64_t type, std::int64_t index) {
    if (py::hasattr(value, "device")) return text(value.attr("device"));
    const std::string kind = type == dlpack::kDLCUDA    ? "cuda"
                             : type == dlpack::kDLMetal ? "metal"
                             : type == dlpack::kDLROCM  ? "rocm"
                                                        : "type " + std::to_string(type) + " of DLPack";
    return kind + ":" + std::to_string(index);
}

void require_processor(py::handle value, const std::string& name) {
    std::int64_t type = 0;
    std::int64_t index = 0;
    try {
        const py::tuple device = value.attr("__dlpack_device__")();
        type = py::int_(device[0]);
        index = py::int_(device[1]);
    } catch (const py::error_already_set& error) {
        // DLPack has no number for some devices: torch's meta is one.
        if (!py::hasattr(value, "device")) throw;
        refuse_device(name, text(value.attr("device")));
    }
    if (type != dlpack::kDLCPU && type != dlpack::kDLCUDAHost && type != dlpack::kDLROCMHost) {
        refuse_device(name, device_of(value, type, index));
    }
}

bool answers_yes(py::handle value, const char* question) {
    if (!py::hasattr(value, question)) return false;
    const py::object answer = value.attr(question);
    return py::bool_(PyCallable_Check(answer.ptr()) != 0 ? answer() : answer);
}

/// Asks for the memory. The capsule is not consumed: it gives the memory back when it goes.
py::capsule lent_by(py::handle value, const std::string& name) {
    const py::object lend = value.attr("__dlpack__");
    try {
        try {
            return lend(py::arg("max_version") = py::make_tuple(dlpack::major_version, 0));
        } catch (const py::error_already_set& error) {
            if (!error.matches(PyExc_TypeError)) throw;
            return lend();  // of before version 1.0 of DLPack
        }
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_BufferError)) throw;
        throw std::invalid_argument(name + " cannot be read where it lies: " + text(error.value()));
    }
}

const dlpack::DLTensor& tensor_in(const py::capsule& capsule, const std::string& name) {
    const std::string kind = capsule.name() != nullptr ? capsule.name() : "";
    if (kind == "dltensor") return static_cast<dlpack::DLManagedTensor*>(capsule.get_pointer())->dl_tensor;
    if (kind == "dltensor_versioned") {
        const auto* const managed = static_cast<dlpack::DLManagedTensorVersioned*>(capsule.get_pointer());
        if (managed->major == dlpack::major_version) return managed->dl_tensor;
        throw std::invalid_argument(name + " is lent in version " + std::to_string(managed->major) +
                                    " of DLPack; version 1 was asked for");
    }
    throw py::type_error(name + ".__dlpack__() gave a capsule named '" + kind + "', not 'dltensor_versioned' or 'dltensor'");
}

template <class S>
borrowed view_of(py::capsule capsule, const dlpack::DLTensor& tensor, const std::string& name) {
    const auto* const bytes = static_cast<const char*>(tensor.data) + tensor.byte_offset;
    if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(S) != 0) {
        throw std::invalid_argument(name + " is not aligned to its elements: pass a copy of it, " + name + ".clone() in torch");
    }
    const std::int64_t rows = tensor.shape[0];
    const std::int64_t cols = tensor.shape[1];
    const bool dense = tensor.strides == nullptr;
    const matrix_ref<const S> view(reinterpret_cast<const S*>(bytes), rows, cols, dense ? cols : tensor.strides[0],
                                   dense ? 1 : tensor.strides[1]);
    return {std::move(capsule), view};
}

borrowed borrow_lent(py::object value, const std::string& name) {
    require_processor(value, name);
    // Values are read and no gradient is claimed to flow, so a parameter of a model is as good as any other tensor.
    if (answers_yes(value, "requires_grad")) value = value.attr("detach")();
    // torch lends the memory of such a view as if it held the values.
    if (answers_yes(value, "is_neg")) {
        throw std::invalid_argument(name + " is the negative of what lies in its memory: pass " + name + ".resolve_neg()");
    }
    py::capsule capsule = lent_by(value, name);
    const dlpack::DLTensor& tensor = tensor_in(capsule, name);
    if (tensor.ndim != 2) refuse_dimensions(name, tensor.ndim, value.attr("shape"));
    const auto [code, bits, lanes] = tensor.dtype;
    if (lanes == 1 && code == dlpack::kDLFloat) {
        if (bits == 16) return view_of<half>(std::move(capsule), tensor, name);
        if (bits == 32) return view_of<float>(std::move(capsule), tensor, name);
        if (bits == 64) return view_of<double>(std::move(capsule), tensor, name);
    }
    if (lanes == 1 && bits == 16 && code == dlpack::kDLBfloat) return view_of<bfloat16>(std::move(capsule), tensor, name);
    if (code != dlpack::kDLInt && code != dlpack::kDLUInt && code != dlpack::kDLBool) refuse_elements(name, value.attr("dtype"));
    return borrow_array(py::module_::import("numpy").attr("asarray")(value), name);
}

}  // namespace

borrowed borrow(py::handle value, const std::string& name) {
    if (py::isinstance<py::array>(value)) return borrow_array(py::reinterpret_borrow<py::array>(value), name);
    if (py::hasattr(value, "__dlpack__") && py::hasattr(value, "__dlpack_device__")) {
        return borrow_lent(py::reinterpret_borrow<py::object>(value), name);
    }
    if (py::hasattr(value, "__cuda_array_interface__")) refuse_device(name, "cuda");
    return borrow_array(py::module_::import("numpy").attr("asarray")(value), name);
}

std::vector<borrowed> borrow_blocks(py::handle value, const std::string& name) {
    std::vector<borrowed> blocks;
    // Arrays first: for one sample the look-up of the class below would be felt.
    if (py::isinstance<py::array>(value) ||
        !py::isinstance(value, py::module_::import("coxlmm.row_blocks").attr("RowBlocks"))) {
        blocks.push_back(borrow(value, name));
        return blocks;
    }
    for (const py::handle block : value.attr("blocks")) {
        blocks.push_back(borrow(block, "block " + std::to_string(blocks.size()) + " of " + name));
        if (is_double(blocks.back().view) != is_double(blocks.front().view)) {
            throw py::type_error("the blocks of " + name + " must be of one dtype");
        }
    }
    return blocks;
}

}  // namespace coxlmm::python
