// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/kmeans.hpp"

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
    py::array centers;
    py::array labels;
    py::array counts;
    double inertia;
    py::array history;
    std::int64_t n_iter;
    std::string stop;
};

result kmeans(py::handle x, std::int64_t n_clusters, const py::object& init, std::int64_t n_init, std::int64_t max_iter,
              double tol, std::uint64_t seed, int n_threads) {
    kmeans_options options{.n_clusters = n_clusters,
                           .n_init = n_init,
                           .max_iter = max_iter,
                           .tol = tol,
                           .seed = seed,
                           .n_threads = n_threads,
                           .checkpoint = handle_signals};
    const auto fit = [&] {
        return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
            auto found = without_lock([&] { return coxlmm::kmeans(samples, options); });
            return result{release(std::move(found.centers)), release(std::move(found.labels)),
                          release(std::move(found.counts)),  found.inertia,
                          release(std::move(found.history)), found.n_iter,
                          std::string(to_string(found.stop))};
        });
    };
    if (py::isinstance<py::str>(init)) {
        const auto name = init.cast<std::string>();
        if (name != "kmeans++") throw std::invalid_argument("init must be 'kmeans++' or an array; got '" + name + "'");
        return fit();
    }
    return with_matrix(init, "init", [&]<class S>(const matrix_ref<const S>& centers) {
        if constexpr (std::is_same_v<S, float> || std::is_same_v<S, double>) {
            options.initial = centers;
            return fit();
        } else {
            const matrix<float> converted = converted_to<float>(centers);
            options.initial = converted.ref();
            return fit();
        }
    });
}

py::array kmeans_activations(py::handle x, py::handle centers, int n_threads) {
    const kmeans_activations_options options{.n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        const samples_as<T> points(centers, "centers");
        return release(without_lock([&] { return coxlmm::kmeans_activations(samples, points.rows(), options); }));
    });
}

}  // namespace

void bind_kmeans(py::module_& module) {
    py::class_<result>(module, "KMeansResult")
        .def_readonly("centers", &result::centers)
        .def_readonly("labels", &result::labels)
        .def_readonly("counts", &result::counts)
        .def_readonly("inertia", &result::inertia)
        .def_readonly("history", &result::history)
        .def_readonly("n_iter", &result::n_iter)
        .def_readonly("stop", &result::stop);

    const kmeans_options defaults;
    module.def("kmeans", &kmeans, py::arg("x"), py::arg("n_clusters"), py::kw_only(), py::arg("init") = "kmeans++",
               py::arg("n_init") = defaults.n_init, py::arg("max_iter") = defaults.max_iter, py::arg("tol") = defaults.tol,
               py::arg("seed") = defaults.seed, py::arg("n_threads") = defaults.n_threads);
    module.def("kmeans_activations", &kmeans_activations, py::arg("x"), py::arg("centers"), py::kw_only(),
               py::arg("n_threads") = 0);
}

}  // namespace coxlmm::python
