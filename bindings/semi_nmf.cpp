// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/semi_nmf.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

struct result {
    py::array codes;
    py::array dictionary;
    double objective;
    double squared_error;
    py::array history;
    std::int64_t n_iter;
    std::string stop;
    double kkt_residual;
};

semi_nmf_init init_named(const std::string& name) {
    if (name == "kmeans++") return semi_nmf_init::kmeans_plus_plus;
    if (name == "samples") return semi_nmf_init::samples;
    if (name == "random") return semi_nmf_init::random;
    throw std::invalid_argument("init must be 'kmeans++', 'samples', 'random' or an array; got '" + name + "'");
}

result semi_nmf(py::handle x, std::int64_t n_components, double l1, const py::object& init, std::int64_t n_init,
                std::int64_t max_iter, double tol, std::uint64_t seed, int n_threads, const py::object& callback) {
    semi_nmf_options options{.n_components = n_components,
                             .l1 = l1,
                             .n_init = n_init,
                             .max_iter = max_iter,
                             .tol = tol,
                             .seed = seed,
                             .n_threads = n_threads,
                             .checkpoint = handle_signals};
    if (!callback.is_none()) {
        options.callback = [&callback](const iteration& pass) {
            const py::gil_scoped_acquire gil;
            const py::object answer = callback(pass.index, pass.objective);
            return answer.is_none() || py::bool_(answer);
        };
    }
    const auto fit = [&] {
        return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
            auto found = without_lock([&] { return coxlmm::semi_nmf(samples, options); });
            return result{release(std::move(found.codes)),
                          release(std::move(found.dictionary)),
                          found.objective,
                          found.squared_error,
                          release(std::move(found.history)),
                          found.n_iter,
                          std::string(to_string(found.stop)),
                          found.kkt_residual};
        });
    };
    if (py::isinstance<py::str>(init)) {
        options.init = init_named(init.cast<std::string>());
        return fit();
    }
    return with_matrix(init, "init", [&]<class S>(const matrix_ref<const S>& atoms) {
        if constexpr (std::is_same_v<S, float> || std::is_same_v<S, double>) {
            options.initial = atoms;
            return fit();
        } else {
            const matrix<float> converted = converted_to<float>(atoms);
            options.initial = converted.ref();
            return fit();
        }
    });
}

}  // namespace

void bind_semi_nmf(py::module_& module) {
    py::class_<result>(module, "SemiNMFResult")
        .def_readonly("codes", &result::codes)
        .def_readonly("dictionary", &result::dictionary)
        .def_readonly("objective", &result::objective)
        .def_readonly("squared_error", &result::squared_error)
        .def_readonly("history", &result::history)
        .def_readonly("n_iter", &result::n_iter)
        .def_readonly("stop", &result::stop)
        .def_readonly("kkt_residual", &result::kkt_residual);

    const semi_nmf_options defaults;
    module.def("semi_nmf", &semi_nmf, py::arg("x"), py::arg("n_components"), py::kw_only(), py::arg("l1") = defaults.l1,
               py::arg("init") = "kmeans++", py::arg("n_init") = defaults.n_init,
               py::arg("max_iter") = defaults.max_iter, py::arg("tol") = defaults.tol, py::arg("seed") = defaults.seed,
               py::arg("n_threads") = defaults.n_threads, py::arg("callback") = py::none());
}

}  // namespace coxlmm::python
