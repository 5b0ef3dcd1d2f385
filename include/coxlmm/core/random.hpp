// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

namespace coxlmm {

/// SplitMix64 (Steele, Lea, Flood 2014). The standard library's distributions differ between implementations; these
/// numbers are the same everywhere, so a seed means the same start on every machine.
class random_source {
public:
    explicit constexpr random_source(std::uint64_t seed) noexcept : state_(seed) {}

    constexpr std::uint64_t bits() noexcept {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31U);
    }

    /// Uniform in [0, 1), 53 bits.
    constexpr double uniform() noexcept { return static_cast<double>(bits() >> 11U) * 0x1.0p-53; }

    /// Uniform in {0, ..., n - 1}; n must be positive. The bias, at most n / 2^53, is far below anything visible here.
    constexpr std::int64_t below(std::int64_t n) noexcept {
        const auto i = static_cast<std::int64_t>(uniform() * static_cast<double>(n));
        return i < n ? i : n - 1;
    }

    /// An index, each with a probability proportional to its weight, of which `total` > 0 is the sum.
    std::size_t weighted(const std::vector<double>& weights, double total) noexcept {
        double left = uniform() * total;
        std::size_t chosen = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            if (!(weights[i] > 0)) continue;
            chosen = i;
            left -= weights[i];
            if (left < 0) break;
        }
        return chosen;
    }

    /// Standard normal (Box and Muller 1958).
    double normal() noexcept {
        const double u = 1.0 - uniform();
        const double v = uniform();
        return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
    }

private:
    std::uint64_t state_;
};

}  // namespace coxlmm
