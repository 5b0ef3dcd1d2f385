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

result sparse_encode(py::handle x, py::handle dictionary, double l1, double tol, std::int64_t max_iter, int n_threads) {
    const sparse_encode_options options{
        .l1 = l1, .tol = tol, .max_iter = max_iter, .n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        const samples_as<T> atoms(dictionary, "dictionary");
        auto found = without_lock([&] { return coxlmm::sparse_encode(samples, atoms.rows(), options); });
        return result{release(std::move(found.codes)), found.objective, found.kkt_residual,
                      std::string(to_string(found.stop))};
    });
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
