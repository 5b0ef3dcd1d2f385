// SPDX-License-Identifier: Apache-2.0
// Must not compile: the elements are integers, and the message must say so.
#include <Eigen/Core>
#include <coxlmm/coxlmm.hpp>

int main() {
    const Eigen::MatrixXi a = Eigen::MatrixXi::Ones(9, 4);
    coxlmm::semi_nmf(a, {.n_components = 2});
}
