// SPDX-License-Identifier: Apache-2.0
// Must not compile: samples in float and a dictionary in double.
#include <Eigen/Core>
#include <coxlmm/coxlmm.hpp>

int main() {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Random(9, 4);
    const Eigen::MatrixXd dictionary = Eigen::MatrixXd::Random(2, 4);
    coxlmm::sparse_encode(x, dictionary, {.l1 = 0.1});
}
