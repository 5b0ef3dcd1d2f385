// SPDX-License-Identifier: Apache-2.0
#include "coxlmm/grounding.hpp"

#include <cstdint>
#include <utility>

#include "convert.hpp"
#include "module.hpp"

namespace coxlmm::python {
namespace {

py::tuple ground_text(py::handle dictionary, py::handle unembedding, std::int64_t top, int n_threads) {
    const ground_text_options options{.n_threads = n_threads, .checkpoint = handle_signals};
    return with_samples(unembedding, "unembedding", [&]<class T>(const row_blocks<T>& words) {
        const samples_as<T> atoms(dictionary, "dictionary");
        auto found = without_lock([&] { return coxlmm::ground_text(atoms.rows(), words, top, options); });
        return py::make_tuple(release(std::move(found.tokens)), release(std::move(found.scores)));
    });
}

template <class Rank>
py::tuple rank_codes(py::handle codes, const Rank& rank) {
    return with_matrix(codes, "codes", [&](const auto& activations) {
        auto found = without_lock([&] { return rank(activations); });
        return py::make_tuple(release(std::move(found.indices)), release(std::move(found.values)));
    });
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
