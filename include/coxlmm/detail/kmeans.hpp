// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/linalg/centred_range.hpp"
#include "coxlmm/linalg/centred_tiles.hpp"
#include "coxlmm/linalg/code_pass.hpp"
#include "coxlmm/linalg/squared_distances.hpp"
#include "coxlmm/linalg/tile.hpp"

namespace coxlmm::detail {

template <class T>
struct clustering {
    matrix<T> centers;  // padded rows, seen from the origin
    std::vector<std::int64_t> labels;
    std::vector<std::int64_t> counts;
    std::vector<double> history;
    std::int64_t n_iter = 0;
    stop_reason stop = stop_reason::max_iter;
};

/// Lloyd's iterations (IEEE Trans. Inf. Theory 28, 1982) over samples seen from an origin near their mean.
template <class T>
class lloyd {
public:
    lloyd(const row_blocks<T>& x, const linalg::origin<T>& from, std::int64_t n_clusters, thread_pool& pool)
        : x_(x),
          from_(from),
          k_(n_clusters),
          stride_(linalg::padded_length<T>(x.cols())),
          // Its sums are in double: they weigh twice as much.
          part_(linalg::partition::of<T>(x.rows(), x.cols(), 2 * n_clusters)),
          pool_(pool),
          squares_(static_cast<std::size_t>(x.rows())),
          labels_(squares_.size(), -1),
          errors_(squares_.size()),
          groups_(static_cast<std::size_t>(part_.n_groups)),
          scratch_(static_cast<std::size_t>(pool.size())) {
        linalg::for_each_centred_tile(x_, from_, part_, pool_,
                                      [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int) {
                                          for (std::int64_t i = 0; i < count; ++i) {
                                              squares_[at(first + i)] = linalg::squared_norm(tile.row(i), stride_);
                                          }
                                      });
        for (const double s : squares_) total_squares_ += s;
    }

    /// Greedy k-means++ (Arthur and Vassilvitskii 2007; the greedy variant is in their section 5): of some samples drawn
    /// with probability proportional to the squared distance to the nearest center, the one that lowers the sum of these
    /// most is next.
    matrix<T> spread_centers(random_source& random) {
        const auto n_trials = 2 + static_cast<std::int64_t>(std::log(static_cast<double>(k_)));
        matrix<T> centers(k_, stride_);
        std::vector<double> nearest(squares_.size());
        matrix<double> distances(n_trials, x_.rows());
        for (std::int64_t k = 0; k < k_; ++k) {
            matrix<T> trials(k == 0 ? 1 : n_trials, stride_);
            double total = 0;
            for (const double d : nearest) total += d;
            for (std::int64_t t = 0; t < trials.rows(); ++t) {
                // At the start every sample is as good as any other; so is it where all of them are centers already.
                const std::int64_t chosen =
                    total > 0 ? static_cast<std::int64_t>(random.weighted(nearest, total)) : random.below(x_.rows());
                sample(chosen, trials.row(t));
            }
            const linalg::point_set<T> candidates(std::move(trials));
            linalg::for_each_centred_tile(
                x_, from_, part_, pool_,
                [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int worker) {
                    auto& products = scratch_[static_cast<std::size_t>(worker)].trials;
                    if (products.size() == 0) products = matrix<double>(n_trials, part_.tile);
                    linalg::squared_distances(tile, count, squares_.data() + first, candidates, products);
                    for (std::int64_t t = 0; t < candidates.rows.rows(); ++t) {
                        std::copy_n(products.row(t), count, distances.row(t) + first);
                    }
                });
            std::int64_t best = 0;
            double least = 0;
            for (std::int64_t t = 0; t < candidates.rows.rows(); ++t) {
                double sum = 0;
                for (std::int64_t i = 0; i < x_.rows(); ++i) {
                    if (k > 0) distances(t, i) = std::min(distances(t, i), nearest[at(i)]);
                    sum += distances(t, i);
                }
                if (t == 0 || sum < least) {
                    least = sum;
                    best = t;
                }
            }
            std::copy_n(distances.row(best), x_.rows(), nearest.begin());
            std::copy_n(candidates.rows.row(best), stride_, centers.row(k));
        }
        return centers;
    }

    /// Where the centers of given clusters are: the means of their samples.
    matrix<T> means_of(const std::vector<std::int64_t>& labels, const matrix<T>& fallback) {
        labels_ = labels;
        reset_groups();
        linalg::for_each_centred_tile(
            x_, from_, part_, pool_,
            [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t g, int) {
                for (std::int64_t i = 0; i < count; ++i) add(tile.row(i), labels_[at(first + i)], groups_[at(g)]);
            });
        reduce();
        return means(fallback);
    }

    clustering<T> run(matrix<T> centers, std::int64_t max_iter, double tol) {
        // In units of the mean variance of the features, as scikit-learn has it.
        const double allowed = tol * total_squares_ / static_cast<double>(x_.rows() * x_.cols());
        clustering<T> found;
        std::fill(labels_.begin(), labels_.end(), std::int64_t{-1});
        assign(centers);
        found.history.push_back(inertia_);
        while (found.n_iter < max_iter) {
            const bool moved = fill_empty_clusters();
            auto next = means(centers);
            double shift = 0;
            for (std::int64_t k = 0; k < k_; ++k) shift += linalg::squared_distance(next.row(k), centers.row(k), stride_);
            centers = std::move(next);
            ++found.n_iter;
            const bool changed = assign(centers) || moved;
            found.history.push_back(inertia_);
            if (!changed || shift <= allowed) {
                found.stop = stop_reason::converged;
                break;
            }
        }
        found.centers = std::move(centers);
        found.labels = labels_;
        found.counts = counts_;
        return found;
    }

private:
    struct group {
        matrix<double> sums;
        std::vector<std::int64_t> counts;
        double inertia = 0;
        bool changed = false;
    };
    struct scratch {
        matrix<double> distances;
        matrix<double> trials;
    };

    static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

    void sample(std::int64_t i, T* row) const {
        linalg::pack_rows(x_, i, 1, row, 1, stride_);
        from_.subtract_from(row, 1, stride_);
    }

    void reset_groups() {
        for (auto& g : groups_) {
            if (g.sums.size() == 0) g.sums = matrix<double>(k_, x_.cols());
            std::fill_n(g.sums.data(), g.sums.size(), 0.0);
            g.counts.assign(at(k_), 0);
            g.inertia = 0;
            g.changed = false;
        }
    }

    void add(const T* row, std::int64_t label, group& g) const {
        double* sums = g.sums.row(label);
        for (std::int64_t d = 0; d < x_.cols(); ++d) sums[d] += static_cast<double>(row[d]);
        ++g.counts[at(label)];
    }

    /// Every sample to its nearest center, the first of equally near ones; whether any label changed.
    bool assign(const matrix<T>& centers) {
        const linalg::point_set<T> points(centers);
        reset_groups();
        linalg::for_each_centred_tile(
            x_, from_, part_, pool_,
            [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t group_index, int worker) {
                auto& distances = scratch_[at(worker)].distances;
                auto& g = groups_[at(group_index)];
                if (distances.size() == 0) distances = matrix<double>(k_, part_.tile);
                linalg::squared_distances(tile, count, squares_.data() + first, points, distances);
                for (std::int64_t i = 0; i < count; ++i) {
                    std::int64_t nearest = 0;
                    for (std::int64_t k = 1; k < k_; ++k) {
                        if (distances(k, i) < distances(nearest, i)) nearest = k;
                    }
                    // From the differences: the inertia is to fall in every iteration, by however little.
                    const double error = linalg::squared_distance(tile.row(i), points.rows.row(nearest), stride_);
                    std::int64_t& label = labels_[at(first + i)];
                    g.changed |= label != nearest;
                    label = nearest;
                    errors_[at(first + i)] = error;
                    g.inertia += error;
                    add(tile.row(i), nearest, g);
                }
            });
        return reduce();
    }

    bool reduce() {
        bool changed = false;
        inertia_ = 0;
        sums_ = groups_.front().sums;
        counts_ = groups_.front().counts;
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            changed |= groups_[g].changed;
            inertia_ += groups_[g].inertia;
            if (g == 0) continue;
            for (std::int64_t i = 0; i < sums_.size(); ++i) sums_.data()[i] += groups_[g].sums.data()[i];
            for (std::size_t k = 0; k < counts_.size(); ++k) counts_[k] += groups_[g].counts[k];
        }
        return changed;
    }

    /// Clusters without samples take over those that are farthest from their centers; whether any did. Where all samples
    /// are at centers nothing is to be gained, and they stay empty.
    bool fill_empty_clusters() {
        bool moved = false;
        matrix<T> row(1, stride_);
        for (std::int64_t k = 0; k < k_; ++k) {
            if (counts_[at(k)] > 0) continue;
            std::int64_t farthest = -1;
            for (std::int64_t i = 0; i < x_.rows(); ++i) {
                if (!(errors_[at(i)] > 0) || counts_[at(labels_[at(i)])] < 2) continue;
                if (farthest < 0 || errors_[at(i)] > errors_[at(farthest)]) farthest = i;
            }
            if (farthest < 0) return moved;
            sample(farthest, row.data());
            const std::int64_t left = labels_[at(farthest)];
            for (std::int64_t d = 0; d < x_.cols(); ++d) {
                const auto value = static_cast<double>(row(0, d));
                sums_(left, d) -= value;
                sums_(k, d) = value;
            }
            --counts_[at(left)];
            counts_[at(k)] = 1;
            labels_[at(farthest)] = k;
            errors_[at(farthest)] = 0;
            moved = true;
        }
        return moved;
    }

    /// The means of the clusters; those of empty ones are where they were.
    matrix<T> means(const matrix<T>& before) const {
        matrix<T> centers = before;
        for (std::int64_t k = 0; k < k_; ++k) {
            const std::int64_t count = counts_[at(k)];
            if (count < 1) continue;
            for (std::int64_t d = 0; d < x_.cols(); ++d)
                centers(k, d) = static_cast<T>(sums_(k, d) / static_cast<double>(count));
        }
        return centers;
    }

    const row_blocks<T>& x_;
    const linalg::origin<T>& from_;
    std::int64_t k_;
    std::int64_t stride_;
    linalg::partition part_;
    thread_pool& pool_;
    std::vector<double> squares_;
    double total_squares_ = 0;
    std::vector<std::int64_t> labels_;
    std::vector<double> errors_;  // squared distances to the nearest centers
    std::vector<group> groups_;
    std::vector<scratch> scratch_;
    matrix<double> sums_;  // of the samples of every cluster
    std::vector<std::int64_t> counts_;
    double inertia_ = 0;
};

/// The best of several starts, each run to its end.
template <class T>
clustering<T> best_start(const row_blocks<T>& x, const linalg::origin<T>& from, std::int64_t n_clusters, std::int64_t n_init,
                         std::int64_t max_iter, double tol, random_source& random, thread_pool& pool) {
    lloyd<T> iterations(x, from, n_clusters, pool);
    clustering<T> best;
    for (std::int64_t start = 0; start < n_init; ++start) {
        auto found = iterations.run(iterations.spread_centers(random), max_iter, tol);
        if (start == 0 || found.history.back() < best.history.back()) best = std::move(found);
    }
    return best;
}

template <class T>
struct kmeans_settings {
    std::int64_t n_clusters;
    std::int64_t n_init;
    matrix<T> given;  // K x D, the only start, if not empty
    std::int64_t max_iter;
    double tol;
    std::uint64_t seed;
};

template <class T>
clustering<T> fit_kmeans(const row_blocks<T>& x, const kmeans_settings<T>& settings, thread_pool& pool) {
    linalg::require_range<T>(linalg::checked_norms(x, "X", pool), "X");
    const auto mean = linalg::column_means(x, pool);
    const auto from = linalg::origin<T>::at(mean);
    const std::int64_t k = settings.n_clusters;
    clustering<T> found;
    if (settings.given.size() > 0) {
        linalg::require_range<T>(linalg::checked_norms(row_blocks<T>(settings.given), "the initial centers", pool), "the initial centers");
        auto centers = linalg::pack_matrix(row_blocks<T>(settings.given));
        from.subtract_from(centers.data(), k, centers.cols());
        found = lloyd<T>(x, from, k, pool).run(std::move(centers), settings.max_iter, settings.tol);
    } else {
        random_source random(settings.seed);
        const std::int64_t r = k + 10;
        linalg::subspace<T> space;
        // The leading directions hold what sets clusters apart (Cohen et al., STOC 2015): starts are tried there.
        if (x.cols() >= 8 * r && x.rows() >= 2 * r) space = linalg::krylov_space(x, from, r, 1, random, pool);
        if (space.basis.rows() > 0) {
            const matrix_ref<const T> coordinates(space.coordinates.data(), x.rows(), space.basis.rows(),
                                                  space.coordinates.cols(), 1);
            const row_blocks<T> few(coordinates);
            const auto start =
                best_start(few, linalg::origin<T>{}, k, settings.n_init, settings.max_iter, settings.tol, random, pool);
            lloyd<T> iterations(x, from, k, pool);
            auto centers = linalg::combined(linalg::unpacked(start.centers, space.basis.rows()), space.basis);
            centers = iterations.means_of(start.labels, centers);
            found = iterations.run(std::move(centers), settings.max_iter, settings.tol);
        } else {
            found = best_start(x, from, k, settings.n_init, settings.max_iter, settings.tol, random, pool);
        }
    }
    auto centers = linalg::unpacked(found.centers, x.cols());
    for (std::int64_t c = 0; c < k; ++c) {
        for (std::int64_t d = 0; d < x.cols(); ++d) {
            centers(c, d) = static_cast<T>(static_cast<double>(centers(c, d)) + mean[static_cast<std::size_t>(d)]);
        }
    }
    found.centers = std::move(centers);
    return found;
}

/// 1 / (1 + |x_i - c_k|).
template <class T>
matrix<T> closeness(const row_blocks<T>& x, const row_blocks<T>& centers, thread_pool& pool) {
    linalg::require_range<T>(linalg::checked_norms(x, "X", pool), "X");
    linalg::require_range<T>(linalg::checked_norms(centers, "the matrix of centers", pool), "the matrix of centers");
    const auto from = linalg::origin<T>::at(linalg::column_means(centers, pool));
    auto rows = linalg::pack_matrix(centers);
    from.subtract_from(rows.data(), rows.rows(), rows.cols());
    const linalg::point_set<T> points(std::move(rows));
    const std::int64_t k = centers.rows();
    const auto part = linalg::partition::of<T>(x.rows(), x.cols(), k);
    matrix<T> activations(x.rows(), k);
    std::vector<matrix<double>> scratch(static_cast<std::size_t>(pool.size()));
    linalg::for_each_centred_tile(
        x, from, part, pool, [&](const matrix<T>& tile, std::int64_t first, std::int64_t count, std::int64_t, int worker) {
            auto& distances = scratch[static_cast<std::size_t>(worker)];
            if (distances.size() == 0) distances = matrix<double>(k, part.tile);
            std::vector<double> squares(static_cast<std::size_t>(count));
            for (std::int64_t i = 0; i < count; ++i)
                squares[static_cast<std::size_t>(i)] = linalg::squared_norm(tile.row(i), tile.cols());
            linalg::squared_distances(tile, count, squares.data(), points, distances);
            for (std::int64_t i = 0; i < count; ++i) {
                for (std::int64_t c = 0; c < k; ++c)
                    activations(first + i, c) = static_cast<T>(1 / (1 + std::sqrt(distances(c, i))));
            }
        });
    return activations;
}

}  // namespace coxlmm::detail
