// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <utility>

#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/error.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/detail/sparse_coding.hpp"

namespace coxlmm {

struct sparse_encode_options {
    /// The weight of the l1 penalty, >= 0, in units of X; scikit-learn's alpha is l1 / 2.
    double l1 = 1.0;
    /// The KKT residual to reach, see sparse_encode_result. In float, about 1e-7 is the least that can be stored.
    double tol = 1e-6;
    /// Sweeps of coordinate descent over the atoms, for each sample; a sample that has not converged then (nearly
    /// parallel atoms) is finished by an active-set method, in as many changes of its support.
    std::int64_t max_iter = 500;
    /// 0: all processors that the process may use.
    int n_threads = 0;
    /// Called on the calling thread about ten times a second; what it throws leaves `sparse_encode`.
    std::function<void()> checkpoint = {};
};

template <class T>
struct sparse_encode_result {
    matrix<T> codes;       ///< M x K, >= 0
    double objective = 0;  ///< ||X - codes dictionary||_F^2 + l1 * sum(codes)
    /// How far from optimal the stored codes are: the largest, over samples x with code v and over atoms u_k, of
    /// |P_k| / (2 ||x|| ||u_k||), where P is the gradient of the objective in v, projected: at v_k = 0 it counts only
    /// if it points downhill. Does not change when X, l1 and the dictionary are scaled together; 0 is optimal.
    double kkt_residual = 0;
    stop_reason stop = stop_reason::max_iter;  ///< converged when kkt_residual <= tol
};

/// Nonnegative lasso for one dictionary and samples that come one after another: what depends on the dictionary alone, its
/// Gram matrix and a copy of it, is made once. May be used from several threads at a time.
template <class T>
class sparse_encoder {
public:
    /// dictionary: K x D, of any strides or in several blocks. Throws std::invalid_argument if it is empty, has NaN or
    /// infinity (with row and column) or squares that do not fit its precision, for a negative or non-finite l1, tol <= 0
    /// or max_iter < 1.
    template <SampleMatrix U>
        requires std::same_as<precision_t<U>, T>
    explicit sparse_encoder(const U& dictionary, sparse_encode_options options = {})
        : options_(std::move(options)), dictionary_(packed(as_row_blocks(dictionary), options_)) {}

    /// The codes of X, M x D. A sample's code does not depend on which other samples are encoded with it, to the bit. Costs
    /// 2 M K D floating-point operations and the descent on the K x K Gram matrix (Friedman, Hastie, Tibshirani, J. Stat.
    /// Softw. 33, 2010; Lawson and Hanson 1974).
    ///
    /// Throws std::invalid_argument if X is empty, has another number of features than the dictionary, NaN or infinity
    /// (with row and column) or squares that do not fit its precision. Not reaching `tol` is reported in `stop`.
    template <SampleMatrix M>
        requires std::same_as<precision_t<M>, T>
    sparse_encode_result<T> encode(const M& x) const {
        const row_blocks<T> samples = as_row_blocks(x);
        require_nonempty(samples, "X");
        if (samples.cols() != n_features()) {
            throw_invalid("X has ", samples.cols(), " features but the dictionary has ", n_features(), " (shapes ", samples.rows(), " x ",
                          samples.cols(), " and ", n_components(), " x ", n_features(), ")");
        }
        thread_pool pool(options_.n_threads, options_.checkpoint);
        auto encoded = detail::encode(samples, dictionary_, options_.l1, options_.tol, options_.max_iter, pool);
        return {.codes = std::move(encoded.codes),
                .objective = encoded.objective,
                .kkt_residual = encoded.kkt_residual,
                .stop = encoded.kkt_residual <= options_.tol ? stop_reason::converged : stop_reason::max_iter};
    }

    std::int64_t n_components() const noexcept { return dictionary_.atoms.rows(); }
    std::int64_t n_features() const noexcept { return dictionary_.n_features; }

private:
    static detail::packed_dictionary<T> packed(const row_blocks<T>& atoms, const sparse_encode_options& options) {
        require_nonempty(atoms, "the dictionary");
        if (!(options.l1 >= 0) || !is_finite(options.l1)) throw_invalid("l1 is ", options.l1, ": it must be finite and >= 0");
        if (!(options.tol > 0) || !is_finite(options.tol)) throw_invalid("tol is ", options.tol, ": it must be finite and > 0");
        if (options.max_iter < 1) throw_invalid("max_iter is ", options.max_iter, ": at least 1 is needed");
        thread_pool pool(options.n_threads, options.checkpoint);
        return detail::packed_dictionary<T>(atoms, pool);
    }

    sparse_encode_options options_;
    detail::packed_dictionary<T> dictionary_;
};

template <SampleMatrix U>
sparse_encoder(const U&, sparse_encode_options = {}) -> sparse_encoder<precision_t<U>>;

/// Nonnegative lasso: for every row x of X, argmin over v >= 0 of ||x - v dictionary||^2 + l1 * sum(v).
///
/// X is M x D, the dictionary K x D, computed in the same precision, of any strides or in several blocks. Costs, promises
/// and errors are those of sparse_encoder, which this makes and uses once.
template <SampleMatrix M, SampleMatrix U>
    requires HaveSamePrecision<M, U>
sparse_encode_result<precision_t<M>> sparse_encode(const M& x, const U& dictionary, const sparse_encode_options& options = {}) {
    return sparse_encoder<precision_t<M>>(dictionary, options).encode(x);
}

}  // namespace coxlmm
