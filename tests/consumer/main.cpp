// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/coxlmm.hpp>
#include <cstdio>

int main() {
    const Eigen::MatrixXd x = Eigen::MatrixXd::Random(40, 6);
    const auto fit = coxlmm::semi_nmf(x, {.n_components = 3, .l1 = 0.1});
    const auto again = coxlmm::sparse_encode(x, fit.dictionary, {.l1 = 0.1});
    std::printf("%g\n", again.objective);
    return again.objective > 0 && again.objective <= x.squaredNorm() ? 0 : 1;
}
