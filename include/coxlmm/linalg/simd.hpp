// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cstdint>

namespace coxlmm::linalg {

/// The widest vector register of T that the translation unit is compiled for, through Eigen's packet layer: every
/// instruction set Eigen knows, and plain scalars elsewhere.
template <class T>
struct simd {
    using packet = typename Eigen::internal::packet_traits<T>::type;
    static constexpr std::int64_t width = Eigen::internal::unpacket_traits<packet>::size;
    /// Vector registers there are: how many accumulators a kernel can hold.
    static constexpr int registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;

    static packet load(const T* p) { return Eigen::internal::pload<packet>(p); }
    static packet load_unaligned(const T* p) { return Eigen::internal::ploadu<packet>(p); }
    static void store(T* p, const packet& a) { Eigen::internal::pstore(p, a); }
    static packet broadcast(T a) { return Eigen::internal::pset1<packet>(a); }
    static packet madd(const packet& a, const packet& b, const packet& c) { return Eigen::internal::pmadd(a, b, c); }
    static packet add(const packet& a, const packet& b) { return Eigen::internal::padd(a, b); }
    static packet sub(const packet& a, const packet& b) { return Eigen::internal::psub(a, b); }
    static packet mul(const packet& a, const packet& b) { return Eigen::internal::pmul(a, b); }
    static packet max(const packet& a, const packet& b) { return Eigen::internal::pmax(a, b); }
    static packet abs(const packet& a) { return Eigen::internal::pabs(a); }
    static T sum(const packet& a) { return Eigen::internal::predux(a); }
};

}  // namespace coxlmm::linalg
