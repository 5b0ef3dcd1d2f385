// SPDX-License-Identifier: Apache-2.0
// Must not compile: there is no option of this name.
#include <Eigen/Core>
#include <coxlmm/coxlmm.hpp>

int main() {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Random(9, 4);
    coxlmm::semi_nmf(x, {.n_component = 2});
}
