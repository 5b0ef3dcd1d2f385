// SPDX-License-Identifier: Apache-2.0
// Must not compile: a + b has no memory to view, and the message must say so.
#include <Eigen/Core>
#include <coxlmm/coxlmm.hpp>

int main() {
    const Eigen::MatrixXf a = Eigen::MatrixXf::Random(9, 4);
    const Eigen::MatrixXf b = Eigen::MatrixXf::Random(9, 4);
    coxlmm::semi_nmf(a + b, {.n_components = 2});
}
