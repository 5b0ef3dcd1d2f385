// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <coxlmm/core/half.hpp>
#include <cstdint>
#include <limits>
#include <type_traits>

using coxlmm::bfloat16;
using coxlmm::half;

namespace {

/// IEEE 754 interchange formats of 16 bits: a sign, `exponent` bits, `fraction` bits.
template <class S>
struct format;
template <>
struct format<half> {
    static constexpr int exponent = 5;
    static constexpr int fraction = 10;
};
template <>
struct format<bfloat16> {
    static constexpr int exponent = 8;
    static constexpr int fraction = 7;
};

template <class S>
constexpr unsigned infinity_bits = ((1U << format<S>::exponent) - 1U) << format<S>::fraction;

/// The value of a pattern as the standard defines it. What would be infinity is 2^(e_max + 1) here, the number that
/// rounding overflows to.
template <class S>
double defined_value(unsigned bits) {
    using f = format<S>;
    const int bias = (1 << (f::exponent - 1)) - 1;
    const int exponent = static_cast<int>((bits >> f::fraction) & ((1U << f::exponent) - 1U));
    const double fraction = static_cast<double>(bits & ((1U << f::fraction) - 1U)) / (1 << f::fraction);
    const double size = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return (bits & 0x8000U) != 0 ? -size : size;
}

template <class S>
S from_bits(unsigned bits) {
    S value;
    value.bits = static_cast<std::uint16_t>(bits);
    return value;
}

}  // namespace

static_assert(sizeof(half) == 2 && std::is_trivially_copyable_v<half>);
static_assert(sizeof(bfloat16) == 2 && std::is_trivially_copyable_v<bfloat16>);
static_assert(!std::is_convertible_v<float, half> && !std::is_convertible_v<float, bfloat16>);
// What a compiler computes is what a program computes.
static_assert(half(1.0F).bits == 0x3c00 && static_cast<float>(half(-2.0F)) == -2.0F);
static_assert(bfloat16(1.0F).bits == 0x3f80 && static_cast<float>(bfloat16(-2.0F)) == -2.0F);

TEMPLATE_TEST_CASE("every pattern of 16 bits has the value that the format defines, and comes back", "[half]", half,
                   bfloat16) {
    int wrong_values = 0;
    int changed = 0;
    for (unsigned bits = 0; bits < 0x10000U; ++bits) {
        const auto stored = from_bits<TestType>(bits);
        const float value = stored;
        const unsigned size = bits & 0x7fffU;
        const bool negative = bits > 0x7fffU;
        bool right = std::signbit(value) == negative;
        if (size > infinity_bits<TestType>) {
            right = right && std::isnan(value);
            const unsigned back = TestType(value).bits;
            if ((back & 0x7fffU) <= infinity_bits<TestType> || (back > 0x7fffU) != negative) ++changed;
        } else {
            right = right && (size == infinity_bits<TestType> ? std::isinf(value)
                                                              : static_cast<double>(value) == defined_value<TestType>(bits));
            if (TestType(value).bits != bits) ++changed;
        }
        if (!right) ++wrong_values;
    }
    CHECK(wrong_values == 0);
    CHECK(changed == 0);
}

TEMPLATE_TEST_CASE("a float between two neighbours goes to the nearer one, and from the middle to the even one", "[half]",
                   half, bfloat16) {
    int wrong = 0;
    for (unsigned lower = 0; lower < infinity_bits<TestType>; ++lower) {
        const double low = defined_value<TestType>(lower);
        const double high = defined_value<TestType>(lower + 1);
        const auto middle = static_cast<float>((low + high) / 2);
        REQUIRE(static_cast<double>(middle) == (low + high) / 2);
        const auto below = std::nextafter(middle, 0.0F);
        const auto above = std::nextafter(middle, std::numeric_limits<float>::infinity());
        const unsigned even = lower % 2 == 0 ? lower : lower + 1;
        for (const unsigned sign : {0U, 0x8000U}) {
            const float factor = sign != 0 ? -1.0F : 1.0F;
            if (TestType(factor * below).bits != (sign | lower)) ++wrong;
            if (TestType(factor * middle).bits != (sign | even)) ++wrong;
            if (TestType(factor * above).bits != (sign | (lower + 1))) ++wrong;
        }
    }
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("the largest floats, the smallest ones and those that are no numbers", "[half]", half, bfloat16) {
    const float largest = std::numeric_limits<float>::max();
    CHECK(TestType(largest).bits == infinity_bits<TestType>);
    CHECK(TestType(-largest).bits == (0x8000U | infinity_bits<TestType>));
    CHECK(TestType(std::numeric_limits<float>::infinity()).bits == infinity_bits<TestType>);
    CHECK(TestType(std::numeric_limits<float>::denorm_min()).bits == 0);
    CHECK(TestType(-std::numeric_limits<float>::denorm_min()).bits == 0x8000U);
    // A NaN whose payload is all in the bits that are cut off is no infinity afterwards.
    const auto quiet = std::bit_cast<float>(0x7fc00001U);
    const auto signalling = std::bit_cast<float>(0xff800001U);
    CHECK(std::isnan(static_cast<float>(TestType(quiet))));
    CHECK(std::isnan(static_cast<float>(TestType(signalling))));
}
