// SPDX-License-Identifier: Apache-2.0
#include <coxlmm/adapt/xtensor.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <cstdio>
#if __has_include(<xtensor/containers/xtensor.hpp>)  // since xtensor 0.26
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

int main() {
  xt::xtensor<float, 2> states({500, 64});
  for (std::size_t i = 0; i < states.size(); ++i) states.flat(i) = static_cast<float>((i * 7919) % 101) / 101 - 0.5f;
  auto x = xt::view(states, xt::range(0, 400), xt::all());  // the first 400 samples; nothing is copied
  auto fit = coxlmm::semi_nmf(x, {.n_components = 10, .l1 = 0.5, .seed = 0});
  std::printf("objective %.1f after %d passes\n", fit.objective, static_cast<int>(fit.n_iter));
}
