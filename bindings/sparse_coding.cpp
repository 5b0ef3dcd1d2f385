// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/sparse_coding.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

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

template <class T>
result handed_over(sparse_encode_result<T> found) {
    return {release(std::move(found.codes)), found.objective, found.kkt_residual, std::string(to_string(found.stop))};
}

result sparse_encode(py::handle x, py::handle dictionary, double l1, double tol, std::int64_t max_iter, int n_threads) {
    const sparse_encode_options options{
        .l1 = l1, .tol = tol, .max_iter = max_iter, .n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(x, "x", [&]<class T>(const row_blocks<T>& samples) {
        const samples_as<T> atoms(dictionary, "dictionary");
        return handed_over(without_lock([&] { return coxlmm::sparse_encode(samples, atoms.rows(), options); }));
    });
}

/// Here the dictionary decides the precision: samples follow it.
class encoder {
public:
    encoder(py::handle dictionary, double l1, double tol, std::int64_t max_iter, int n_threads)
        : of_(with_samples(dictionary, "dictionary", [&]<class T>(const row_blocks<T>& atoms) -> any_encoder {
              return sparse_encoder<T>(atoms, {.l1 = l1,
                                               .tol = tol,
                                               .max_iter = max_iter,
                                               .n_threads = n_threads,
                                               .checkpoint = handle_signals});
          })) {}

    /// Of one sample or of several in rows; the codes have as many dimensions.
    result encode(const py::object& x) const {
        const bool is_one = py::hasattr(x, "ndim") && x.attr("ndim").cast<int>() == 1;
        const py::object rows = is_one ? py::object(x[py::make_tuple(py::none(), py::ellipsis())]) : x;
        auto found = std::visit(
            [&]<class T>(const sparse_encoder<T>& of) {
                const samples_as<T> samples(rows, "x");
                return handed_over(without_lock([&] { return of.encode(samples.rows()); }));
            },
            of_);
        if (is_one) found.codes = found.codes[py::int_(0)].template cast<py::array>();
        return found;
    }

private:
    using any_encoder = std::variant<sparse_encoder<float>, sparse_encoder<double>>;
    any_encoder of_;
};

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
    py::class_<encoder>(module, "SparseEncoder")
        .def(py::init<py::handle, double, double, std::int64_t, int>(), py::arg("dictionary"), py::kw_only(), py::arg("l1"),
             py::arg("tol") = defaults.tol, py::arg("max_iter") = defaults.max_iter, py::arg("n_threads") = 1)
        .def("encode", &encoder::encode, py::arg("x"));
}

}  // namespace coxlmm::python
