// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/grounding.hpp"

#include <cstdint>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

// The unembedding decides the precision: it is the large operand, the dictionary is the one to convert.
template <class T>
py::tuple ground(const py::array& dictionary, const py::array& unembedding, std::int64_t top,
                 const ground_text_options& options) {
    const auto atoms = borrow<T>(dictionary);
    const auto words = borrow<T>(unembedding);
    auto found = [&] {
        const py::gil_scoped_release no_gil;
        return coxlmm::ground_text(atoms.view, words.view, top, options);
    }();
    return py::make_tuple(release(std::move(found.tokens)), release(std::move(found.scores)));
}

py::tuple ground_text(py::handle dictionary, py::handle unembedding, std::int64_t top, int n_threads) {
    const auto atoms = as_real_matrix(dictionary, "dictionary");
    const auto words = as_real_matrix(unembedding, "unembedding");
    const ground_text_options options{.n_threads = n_threads, .checkpoint = handle_signals};
    return is_single(words) ? ground<float>(atoms, words, top, options) : ground<double>(atoms, words, top, options);
}

template <class T, class Rank>
py::tuple rank_as(const py::array& codes, const Rank& rank) {
    const auto activations = borrow<T>(codes);
    auto found = [&] {
        const py::gil_scoped_release no_gil;
        return rank(activations.view);
    }();
    return py::make_tuple(release(std::move(found.indices)), release(std::move(found.values)));
}

template <class Rank>
py::tuple rank_codes(py::handle codes, const Rank& rank) {
    const auto array = as_real_matrix(codes, "codes");
    return is_single(array) ? rank_as<float>(array, rank) : rank_as<double>(array, rank);
}

py::tuple max_activating(py::handle codes, std::int64_t n) {
    return rank_codes(codes, [n](const auto& v) { return coxlmm::max_activating(v, n); });
}

py::tuple most_activating_concepts(py::handle codes, std::int64_t r) {
    return rank_codes(codes, [r](const auto& v) { return coxlmm::most_activating_concepts(v, r); });
}

}  // namespace

void bind_grounding(py::module_& module) {
    module.def("ground_text", &ground_text, py::arg("dictionary"), py::arg("unembedding"), py::arg("top"),
               py::arg("n_threads") = 0);
    module.def("max_activating", &max_activating, py::arg("codes"), py::arg("n"));
    module.def("most_activating_concepts", &most_activating_concepts, py::arg("codes"), py::arg("r"));
}

}  // namespace coxlmm::python
