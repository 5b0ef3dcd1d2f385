// SPDX-License-Identifier: Apache-2.0
#include "module.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The compiled core of coxlmm. Matrices hold samples, concepts or words in rows.";
    coxlmm::python::bind_semi_nmf(module);
    coxlmm::python::bind_sparse_coding(module);
    coxlmm::python::bind_grounding(module);
}
