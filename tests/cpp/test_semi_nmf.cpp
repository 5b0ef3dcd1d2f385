// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <coxlmm/semi_nmf.hpp>
#include <cstdint>

TEMPLATE_TEST_CASE("the objective never rises", "[semi_nmf]", float, double) {
    coxlmm::random_source random(1);
    coxlmm::matrix<TestType> x(200, 30);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<TestType>(random.normal());
    const auto fit = coxlmm::semi_nmf(x, {.n_components = 6, .l1 = 0.5});
    REQUIRE(fit.history.size() > 5);
    for (std::size_t i = 1; i < fit.history.size(); ++i) {
        CHECK(fit.history[i] <= fit.history[i - 1] * (1 + 1e-6));
    }
}
