// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/pca.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

struct result {
    py::array mean;
    py::array components;
    py::array scores;
    py::array explained_variance;
    py::array explained_variance_ratio;
    py::array singular_values;
    double total_variance;
};

pca_solver solver_named(const std::string& name) {
    if (name == "auto") return pca_solver::automatic;
    if (name == "full") return pca_solver::full;
    if (name == "randomized") return pca_solver::randomized;
    throw std::invalid_argument("solver must be 'auto', 'full' or 'randomized'; got '" + name + "'");
}

result pca(py::handle x, std::int64_t n_components, const std::string& solver, std::int64_t n_power_iterations,
           std::uint64_t seed, int n_threads) {
    const pca_options options{.n_components = n_components,
                              .solver = solver_named(solver),
                              .n_power_iterations = n_power_iterations,
                              .seed = seed,
                              .n_threads = n_threads,
                              .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        auto found = without_lock([&] { return coxlmm::pca(samples, options); });
        return result{release(std::move(found.mean)).attr("ravel")().template cast<py::array>(),
                      release(std::move(found.components)),
                      release(std::move(found.scores)),
                      release(std::move(found.explained_variance)),
                      release(std::move(found.explained_variance_ratio)),
                      release(std::move(found.singular_values)),
                      found.total_variance};
    });
}

}  // namespace

void bind_pca(py::module_& module) {
    py::class_<result>(module, "PCAResult")
        .def_readonly("mean", &result::mean)
        .def_readonly("components", &result::components)
        .def_readonly("scores", &result::scores)
        .def_readonly("explained_variance", &result::explained_variance)
        .def_readonly("explained_variance_ratio", &result::explained_variance_ratio)
        .def_readonly("singular_values", &result::singular_values)
        .def_readonly("total_variance", &result::total_variance);

    const pca_options defaults;
    module.def("pca", &pca, py::arg("x"), py::arg("n_components"), py::kw_only(), py::arg("solver") = "auto",
               py::arg("n_power_iterations") = defaults.n_power_iterations, py::arg("seed") = defaults.seed,
               py::arg("n_threads") = defaults.n_threads);
}

}  // namespace coxlmm::python
