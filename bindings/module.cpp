// SPDX-License-Identifier: Apache-2.0
#include "module.hpp"

#include <string>

#include "coxlmm/core/parallel.hpp"

namespace {

std::string compiler() {
#if defined(__clang__)
    return "Clang " __clang_version__;
#elif defined(__GNUC__)
    return "GCC " __VERSION__;
#else
    return "unknown";
#endif
}

// Private to coxlmm.show_config: threads are counted when it asks, the rest is fixed at compile time.
pybind11::dict config() {
    using namespace pybind11::literals;
    return pybind11::dict("instruction_set"_a = COXLMM_INSTRUCTION_SET, "compiler"_a = compiler(),
                          "n_threads"_a = coxlmm::resolve_threads(0));
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "The compiled core of coxlmm. Matrices hold samples, concepts or words in rows.";
    module.def("_config", &config);
    coxlmm::python::bind_semi_nmf(module);
    coxlmm::python::bind_sparse_coding(module);
    coxlmm::python::bind_grounding(module);
    coxlmm::python::bind_kmeans(module);
    coxlmm::python::bind_largest_norm(module);
    coxlmm::python::bind_metrics(module);
    coxlmm::python::bind_pca(module);
}
