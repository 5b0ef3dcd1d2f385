// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/semi_nmf.hpp>
#include <cstdio>
#include <vector>

int main() {
  std::vector<float> states(500 * 64);
  for (std::size_t i = 0; i < states.size(); ++i) states[i] = static_cast<float>((i * 7919) % 101) / 101 - 0.5f;
  auto x = coxlmm::matrix_ref<const float>(states.data(), 500, 64);  // rows are samples
  auto fit = coxlmm::semi_nmf(x, {.n_components = 10, .l1 = 0.5, .seed = 0});
  std::printf("objective %.1f after %d passes\n", fit.objective, static_cast<int>(fit.n_iter));
}
