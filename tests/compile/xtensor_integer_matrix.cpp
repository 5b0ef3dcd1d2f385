// SPDX-License-Identifier: Apache-2.0
// Must not compile: the elements are integers, and the message must say so.
#include "accepted_xtensor.cpp"

void integers(const xt::xtensor<int, 2>& a) {
    coxlmm::semi_nmf(a, {.n_components = 2});
}
