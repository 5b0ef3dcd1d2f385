// SPDX-License-Identifier: Apache-2.0
// Must not compile: a + b has no memory to view, and the message must say so.
#include "accepted_xtensor.cpp"

void lazy(const matrix& a, const matrix& b) {
    coxlmm::semi_nmf(a + b, {.n_components = 2});
}
