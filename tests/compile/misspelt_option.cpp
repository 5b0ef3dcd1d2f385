// SPDX-License-Identifier: Apache-2.0
// Must not compile: there is no option of this name.
#include <coxlmm/coxlmm.hpp>

int main() {
    const coxlmm::semi_nmf_options options{.n_component = 2};
    return static_cast<int>(options.seed);
}
