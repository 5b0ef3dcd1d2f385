// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/metrics.hpp"

#include <pybind11/stl.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

double overlap(std::vector<std::vector<std::int64_t>> tokens) {
    return without_lock([&] { return coxlmm::overlap(std::move(tokens)); });
}

double relative_error(py::handle x, py::handle codes, py::handle dictionary, int n_threads) {
    const relative_error_options options{.n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        const samples_as<T> weights(codes, "codes");
        const samples_as<T> atoms(dictionary, "dictionary");
        return without_lock([&] { return coxlmm::relative_error(samples, weights.rows(), atoms.rows(), options); });
    });
}

}  // namespace

void bind_metrics(py::module_& module) {
    module.def("overlap", &overlap, py::arg("tokens"));
    module.def("relative_error", &relative_error, py::arg("x"), py::arg("codes"), py::arg("dictionary"), py::kw_only(),
               py::arg("n_threads") = 0);
}

}  // namespace coxlmm::python
