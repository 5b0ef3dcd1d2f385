// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/sparse_coding.hpp"

#include <cstdint>
#include <string>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

struct result {
    py::array codes;
    double objective;
    double kkt_residual;
    std::string stop;
};

// The samples decide the precision: they are the large operand, the dictionary is the one to convert.
template <class T>
result encode(const py::array& x, const py::array& dictionary, const sparse_encode_options& options) {
    const auto samples = borrow<T>(x);
    const auto atoms = borrow<T>(dictionary);
    auto found = [&] {
        const py::gil_scoped_release no_gil;
        return coxlmm::sparse_encode(samples.view, atoms.view, options);
    }();
    return {release(std::move(found.codes)), found.objective, found.kkt_residual, std::string(to_string(found.stop))};
}

result sparse_encode(py::handle x, py::handle dictionary, double l1, double tol, std::int64_t max_iter, int n_threads) {
    const auto samples = as_real_matrix(x, "x");
    const auto atoms = as_real_matrix(dictionary, "dictionary");
    const sparse_encode_options options{
        .l1 = l1, .tol = tol, .max_iter = max_iter, .n_threads = n_threads, .checkpoint = handle_signals};
    return is_single(samples) ? encode<float>(samples, atoms, options) : encode<double>(samples, atoms, options);
}

}  // namespace

void bind_sparse_coding(py::module_& module) {
    py::class_<result>(module, "SparseCodes")
        .def_readonly("codes", &result::codes)
        .def_readonly("objective", &result::objective)
        .def_readonly("kkt_residual", &result::kkt_residual)
        .def_readonly("stop", &result::stop);

    const sparse_encode_options defaults;
    module.def("sparse_encode", &sparse_encode, py::arg("x"), py::arg("dictionary"), py::kw_only(), py::arg("l1"),
               py::arg("tol") = defaults.tol, py::arg("max_iter") = defaults.max_iter, py::arg("n_threads") = 0);
}

}  // namespace coxlmm::python
