// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/semi_nmf.hpp"

#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "convert.hpp"
#include "coxlmm/nmf.hpp"
#include "coxlmm/online_semi_nmf.hpp"
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
    if (name == "svd") return semi_nmf_init::svd;
    if (name == "random") return semi_nmf_init::random;
    throw std::invalid_argument("init must be 'kmeans++', 'samples', 'svd', 'random' or an array; got '" + name + "'");
}

/// Options as Python gives them, and the Python objects that they look at. Stays where it is: options refer to it.
class fit_options {
public:
    fit_options(std::int64_t n_components, double l1, const py::object& init, std::int64_t n_init, std::int64_t max_iter,
                double tol, std::uint64_t seed, int n_threads, py::object callback, py::object process_group)
        : callback_(std::move(callback)), group_(std::move(process_group)) {
        options_ = {.n_components = n_components,
                    .l1 = l1,
                    .n_init = n_init,
                    .max_iter = max_iter,
                    .tol = tol,
                    .seed = seed,
                    .n_threads = n_threads,
                    .checkpoint = handle_signals};
        if (py::isinstance<py::str>(init)) {
            options_.init = init_named(init.cast<std::string>());
        } else {
            start_from(borrow(init, "init"));
        }
        if (!callback_.is_none()) {
            options_.callback = [this](const iteration& pass) {
                const py::gil_scoped_acquire gil;
                const py::object answer = callback_(pass.index, pass.objective);
                return answer.is_none() || py::bool_(answer);
            };
        }
        if (!group_.is_none()) {
            options_.group = {.rank = group_.attr("rank").cast<int>(),
                              .size = group_.attr("size").cast<int>(),
                              .sum = [this](double* values, std::int64_t n) { sum_over_processes(values, n); }};
        }
    }
    fit_options(const fit_options&) = delete;
    fit_options& operator=(const fit_options&) = delete;

    const semi_nmf_options& options() const noexcept { return options_; }

private:
    void start_from(borrowed atoms) {
        start_ = std::move(atoms);
        std::visit(
            [this]<class S>(const matrix_ref<const S>& view) {
                if constexpr (std::is_same_v<S, float> || std::is_same_v<S, double>) {
                    options_.initial = view;
                } else {
                    converted_ = converted_to<float>(view);
                    options_.initial = std::as_const(converted_).ref();
                }
            },
            start_->view);
    }

    void sum_over_processes(double* values, std::int64_t n) const {
        if (n < 1) return;
        const py::gil_scoped_acquire gil;
        // With an owner numpy looks at the values and copies none; this one has nothing to free.
        const py::capsule owner(values, [](void*) {});
        group_.attr("sum")(py::array_t<double>(static_cast<py::ssize_t>(n), values, owner));
    }

    py::object callback_;
    py::object group_;
    std::optional<borrowed> start_;
    matrix<float> converted_;
    semi_nmf_options options_;
};

template <class F>
result factorize(py::handle x, const F& algorithm) {
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        auto found = without_lock([&] { return algorithm(samples); });
        return result{release(std::move(found.codes)),
                      release(std::move(found.dictionary)),
                      found.objective,
                      found.squared_error,
                      release(std::move(found.history)),
                      found.n_iter,
                      std::string(to_string(found.stop)),
                      found.kkt_residual};
    });
}

result semi_nmf(py::handle x, std::int64_t n_components, double l1, const py::object& init, std::int64_t n_init,
                std::int64_t max_iter, double tol, std::uint64_t seed, int n_threads, py::object callback,
                py::object process_group) {
    const fit_options given(n_components, l1, init, n_init, max_iter, tol, seed, n_threads, std::move(callback),
                            std::move(process_group));
    return factorize(x, [&](const auto& samples) { return coxlmm::semi_nmf(samples, given.options()); });
}

result nmf(py::handle x, std::int64_t n_components, double l1, const py::object& init, std::int64_t n_init,
           std::int64_t max_iter, double tol, std::uint64_t seed, int n_threads, py::object callback,
           py::object process_group) {
    const fit_options given(n_components, l1, init, n_init, max_iter, tol, seed, n_threads, std::move(callback),
                            std::move(process_group));
    return factorize(x, [&](const auto& samples) { return coxlmm::nmf(samples, given.options()); });
}

struct batch_result {
    py::array dictionary;
    double objective;
    std::int64_t n_samples;
    std::int64_t n_batches;
};

/// The first batch decides the precision of all. From several threads, one batch is learned after another.
class online {
public:
    online(std::int64_t n_components, double l1, const py::object& init, std::int64_t n_init, std::int64_t max_iter, double tol,
           std::uint64_t seed, int n_threads, py::object callback)
        : given_(n_components, l1, init, n_init, max_iter, tol, seed, n_threads, std::move(callback), py::none()) {}

    batch_result partial_fit(py::handle x) {
        {
            // Never waited for with the interpreter's lock, which whoever learns needs for its callback.
            const py::gil_scoped_release no_lock;
            turn_.lock();
        }
        const std::unique_lock<std::mutex> turn(turn_, std::adopt_lock);
        if (std::holds_alternative<std::monostate>(learner_)) {
            return with_samples(x, "x", [&]<class T>(const row_blocks<T>& batch) {
                online_semi_nmf<T> begun(given_.options());
                auto found = learn(begun, batch);
                learner_ = std::move(begun);  // only now: a refused batch begins nothing
                return found;
            });
        }
        if (auto* single = std::get_if<online_semi_nmf<float>>(&learner_)) {
            return learn(*single, samples_as<float>(x, "x").rows());
        }
        return learn(std::get<online_semi_nmf<double>>(learner_), samples_as<double>(x, "x").rows());
    }

private:
    template <class T>
    static batch_result learn(online_semi_nmf<T>& learner, const row_blocks<T>& batch) {
        matrix<T> dictionary = without_lock([&] {
            learner.partial_fit(batch);
            return learner.dictionary();
        });
        return {release(std::move(dictionary)), learner.objective(), learner.n_samples(), learner.n_batches()};
    }

    fit_options given_;
    std::mutex turn_;
    std::variant<std::monostate, online_semi_nmf<float>, online_semi_nmf<double>> learner_;
};

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
    const auto add = [&](const char* name, auto* function) {
        module.def(name, function, py::arg("x"), py::arg("n_components"), py::kw_only(), py::arg("l1") = defaults.l1,
                   py::arg("init") = "kmeans++", py::arg("n_init") = defaults.n_init,
                   py::arg("max_iter") = defaults.max_iter, py::arg("tol") = defaults.tol,
                   py::arg("seed") = defaults.seed, py::arg("n_threads") = defaults.n_threads,
                   py::arg("callback") = py::none(), py::arg("process_group") = py::none());
    };
    add("semi_nmf", &semi_nmf);
    add("nmf", &nmf);

    py::class_<batch_result>(module, "BatchResult")
        .def_readonly("dictionary", &batch_result::dictionary)
        .def_readonly("objective", &batch_result::objective)
        .def_readonly("n_samples", &batch_result::n_samples)
        .def_readonly("n_batches", &batch_result::n_batches);
    py::class_<online>(module, "OnlineSemiNMF")
        .def(py::init<std::int64_t, double, const py::object&, std::int64_t, std::int64_t, double, std::uint64_t, int, py::object>(),
             py::arg("n_components"), py::kw_only(), py::arg("l1") = defaults.l1, py::arg("init") = "kmeans++",
             py::arg("n_init") = defaults.n_init, py::arg("max_iter") = defaults.max_iter, py::arg("tol") = defaults.tol,
             py::arg("seed") = defaults.seed, py::arg("n_threads") = defaults.n_threads, py::arg("callback") = py::none())
        .def("partial_fit", &online::partial_fit, py::arg("x"));
}

}  // namespace coxlmm::python
