// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <coxlmm/adapt/torch.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <cstdio>

int main() {
  // Saved states are mostly bfloat16: they are read as they are. A tensor of a GPU is taken to the host first, x.cpu().
  at::Tensor states = at::randn({500, 64}).to(at::kBFloat16);
  auto x = coxlmm::torch_view<coxlmm::bfloat16>(states);  // valid as long as `states` is; nothing is copied
  auto fit = coxlmm::semi_nmf(x, {.n_components = 10, .l1 = 0.5, .seed = 0});
  std::printf("objective %.1f after %d passes\n", fit.objective, static_cast<int>(fit.n_iter));
}
