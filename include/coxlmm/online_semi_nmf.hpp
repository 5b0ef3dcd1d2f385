// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/detail/online_semi_nmf.hpp"
#include "coxlmm/semi_nmf.hpp"

namespace coxlmm {

/// Semi-NMF of samples that come in batches and are not kept: the objective of semi_nmf, approached by online dictionary
/// learning (Mairal, Bach, Ponce, Sapiro, JMLR 11, 2010).
///
/// The first batch is fitted by semi_nmf with the options given. Every later one is encoded with the dictionary so far, its
/// sums codes^T X and codes^T codes are added to those of the batches before, scaled down by (1 - 1/t)^2 in batch t, since
/// their codes are of older dictionaries, and the dictionary becomes the best one for these sums. Several rounds over
/// the same batches come closer to semi_nmf of all of them; for samples that lie in memory-mapped files semi_nmf of
/// row_blocks is exact and reads them from there. Holds K x D numbers a few times, whatever the number of samples.
template <class T>
class online_semi_nmf {
public:
    /// Throws std::invalid_argument where semi_nmf would. `callback` is called during the first batch; `group` must be of one
    /// process.
    explicit online_semi_nmf(semi_nmf_options options) : options_(std::move(options)) {
        if (!options_.group.alone()) {
            throw_invalid("online_semi_nmf runs in one process, but the group has ", options_.group.size, ": use semi_nmf");
        }
    }

    /// Learns from a batch, M x D with M >= n_components in the first one. A batch that is refused changes nothing.
    ///
    /// Throws std::invalid_argument for what semi_nmf refuses, or another number of features than before.
    template <SampleMatrix M>
        requires std::same_as<precision_t<M>, T>
    void partial_fit(const M& x) {
        const row_blocks<T> batch = as_row_blocks(x);
        require_nonempty(batch, "X");
        if (n_batches_ > 0 && batch.cols() != dictionary_.cols()) {
            throw_invalid("X has ", batch.cols(), " features but the batches before had ", dictionary_.cols());
        }
        matrix<T> next = n_batches_ == 0 ? semi_nmf(batch, options_).dictionary : dictionary_;
        thread_pool pool(options_.n_threads, options_.checkpoint);
        learner_.learn(batch, next, options_.l1, n_batches_ + 1, pool);
        dictionary_ = std::move(next);
        ++n_batches_;
        n_samples_ += batch.rows();
    }

    const matrix<T>& dictionary() const noexcept { return dictionary_; }  ///< K x D; empty before the first batch
    std::int64_t n_samples() const noexcept { return n_samples_; }        ///< seen so far
    std::int64_t n_batches() const noexcept { return n_batches_; }
    /// ||X - codes dictionary||_F^2 + l1 * sum(codes) of the last batch, with the dictionary before it was learned from.
    double objective() const noexcept { return learner_.objective(); }

private:
    semi_nmf_options options_;
    detail::online_learner<T> learner_;
    matrix<T> dictionary_;
    std::int64_t n_samples_ = 0;
    std::int64_t n_batches_ = 0;
};

}  // namespace coxlmm
