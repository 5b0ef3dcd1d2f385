// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <concepts>
#include <cstdint>

#include "coxlmm/core/concepts.hpp"

namespace coxlmm {

/// Eigen matrices, arrays, maps, refs, blocks and transposes of those: everything with memory behind it. Expressions
/// such as `a + b` or `a * b` have none and are refused at compile time; write `(a + b).eval()`.
template <class M>
    requires(std::derived_from<M, Eigen::DenseBase<M>> &&
             (static_cast<unsigned>(Eigen::internal::traits<M>::Flags) & Eigen::DirectAccessBit) != 0)
struct view_traits<M> {
    static matrix_ref<const typename M::Scalar> view(const M& m) noexcept {
        return {m.data(), static_cast<std::int64_t>(m.rows()), static_cast<std::int64_t>(m.cols()),
                static_cast<std::int64_t>(m.rowStride()), static_cast<std::int64_t>(m.colStride())};
    }
};

}  // namespace coxlmm
