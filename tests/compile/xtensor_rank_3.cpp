// SPDX-License-Identifier: Apache-2.0
// Must not compile: three dimensions are not a matrix.
#include "accepted_xtensor.cpp"

void three_dimensions(const cube& a) {
    coxlmm::semi_nmf(a, {.n_components = 2});
}
