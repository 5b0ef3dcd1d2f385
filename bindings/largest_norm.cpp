// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/largest_norm.hpp"

#include <cstdint>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

py::tuple largest_norm(py::handle x, std::int64_t n_components, int n_threads) {
    const largest_norm_options options{.n_components = n_components, .n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        auto found = without_lock([&] { return coxlmm::largest_norm(samples, options); });
        return py::make_tuple(release(std::move(found.dictionary)), release(std::move(found.indices)));
    });
}

}  // namespace

void bind_largest_norm(py::module_& module) {
    module.def("largest_norm", &largest_norm, py::arg("x"), py::arg("n_components"), py::kw_only(),
               py::arg("n_threads") = 0);
}

}  // namespace coxlmm::python
