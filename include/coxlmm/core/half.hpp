// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace coxlmm {

/// IEEE 754 binary16, to store and not to compute with: large matrices of it are read as float, a tile at a time.
struct half {
    std::uint16_t bits = 0;

    constexpr half() = default;

    /// Rounds to nearest, ties to even; beyond 65504 to infinity.
    explicit constexpr half(float value) noexcept {
        const auto word = std::bit_cast<std::uint32_t>(value);
        const auto sign = static_cast<std::uint16_t>((word >> 16U) & 0x8000U);
        const std::uint32_t size = word & 0x7fffffffU;
        if (size > 0x7f800000U) {
            bits = static_cast<std::uint16_t>(sign | 0x7e00U | ((size >> 13U) & 0x3ffU));
        } else if (size >= 0x477ff000U) {
            bits = static_cast<std::uint16_t>(sign | 0x7c00U);
        } else if (size >= 0x38800000U) {
            const std::uint32_t rebased = size - 0x38000000U;
            bits = static_cast<std::uint16_t>(sign | ((rebased + 0xfffU + ((rebased >> 13U) & 1U)) >> 13U));
        } else if (size < 0x33000000U) {
            bits = sign;
        } else {
            const std::uint32_t shift = 126U - (size >> 23U);
            const std::uint32_t significand = (size & 0x7fffffU) | 0x800000U;
            const std::uint32_t kept = significand >> shift;
            const std::uint32_t rest = significand & ((1U << shift) - 1U);
            const std::uint32_t middle = 1U << (shift - 1U);
            const std::uint32_t up = rest > middle || (rest == middle && (kept & 1U) != 0U) ? 1U : 0U;
            bits = static_cast<std::uint16_t>(sign | (kept + up));
        }
    }

    // Without a branch, so that loops over it become vector instructions: the exponent is moved by a product. (A thread that
    // takes denormal floats for zero reads values below 6.1e-5 as zero here.)
    constexpr operator float() const noexcept {  // NOLINT: every half is a float
        const std::uint32_t sign = (bits & 0x8000U) << 16U;
        const std::uint32_t size = (bits & 0x7fffU) << 13U;
        const auto value = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) * 0x1p112F);
        const std::uint32_t special = size >= 0x0f800000U ? 0x7f800000U : 0U;
        return std::bit_cast<float>(value | special | sign);
    }
};

/// The upper half of a float (bfloat16), to store and not to compute with.
struct bfloat16 {
    std::uint16_t bits = 0;

    constexpr bfloat16() = default;

    /// Rounds to nearest, ties to even.
    explicit constexpr bfloat16(float value) noexcept {
        const auto word = std::bit_cast<std::uint32_t>(value);
        const bool nan = (word & 0x7fffffffU) > 0x7f800000U;
        bits = static_cast<std::uint16_t>(nan ? (word >> 16U) | 0x40U : (word + 0x7fffU + ((word >> 16U) & 1U)) >> 16U);
    }

    constexpr operator float() const noexcept {  // NOLINT: every bfloat16 is a float
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
    }
};

}  // namespace coxlmm
