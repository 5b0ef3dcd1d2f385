// SPDX-License-Identifier: Apache-2.0
// One function a domain: each adds its part to the extension module.
#pragma once

#include <pybind11/pybind11.h>

namespace coxlmm::python {

void bind_semi_nmf(pybind11::module_& module);
void bind_sparse_coding(pybind11::module_& module);
void bind_grounding(pybind11::module_& module);
void bind_kmeans(pybind11::module_& module);
void bind_largest_norm(pybind11::module_& module);
void bind_metrics(pybind11::module_& module);
void bind_pca(pybind11::module_& module);

}  // namespace coxlmm::python
