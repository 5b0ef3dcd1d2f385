// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/parallel.hpp"
#include "coxlmm/core/random.hpp"
#include "coxlmm/linalg/atom_update.hpp"
#include "coxlmm/linalg/range_finder.hpp"
#include "coxlmm/linalg/symmetric_eigen.hpp"
#include "coxlmm/linalg/tile.hpp"

/// Where a dictionary starts. All return atoms in padded rows.
namespace coxlmm::linalg {

/// Atoms in padded rows, those longer than 1 scaled back to the unit ball.
template <class T>
matrix<T> in_ball(matrix<T> atoms) {
    for (std::int64_t k = 0; k < atoms.rows(); ++k) {
        if (dot(atoms.row(k), atoms.row(k), atoms.cols()) > 1) normalize(atoms.row(k), atoms.cols());
    }
    return atoms;
}

/// Directions uniform on the sphere.
template <class T>
void random_atom(random_source& random, std::int64_t n_features, T* row, std::int64_t stride) {
    for (std::int64_t d = 0; d < n_features; ++d) row[d] = static_cast<T>(random.normal());
    normalize(row, stride);
}

template <class T>
matrix<T> random_atoms(std::int64_t n_atoms, std::int64_t n_features, random_source& random) {
    matrix<T> atoms(n_atoms, padded_length<T>(n_features));
    for (std::int64_t k = 0; k < n_atoms; ++k) random_atom(random, n_features, atoms.row(k), atoms.cols());
    return atoms;
}

/// Different samples chosen uniformly, zero samples left out; random directions if there are too few.
template <class T>
matrix<T> sampled_atoms(const row_blocks<T>& x, std::int64_t n_atoms, const std::vector<double>& norms,
                        random_source& random) {
    std::vector<std::int64_t> candidates;
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        if (norms[static_cast<std::size_t>(i)] > 0) candidates.push_back(i);
    }
    matrix<T> atoms(n_atoms, padded_length<T>(x.cols()));
    for (std::int64_t k = 0; k < n_atoms; ++k) {
        const auto left = static_cast<std::int64_t>(candidates.size()) - k;
        if (left < 1) {
            random_atom(random, x.cols(), atoms.row(k), atoms.cols());
            continue;
        }
        std::swap(candidates[static_cast<std::size_t>(k)], candidates[static_cast<std::size_t>(k + random.below(left))]);
        pack_rows(x, candidates[static_cast<std::size_t>(k)], 1, atoms.row(k), 1, atoms.cols());
        normalize(atoms.row(k), atoms.cols());
    }
    return atoms;
}

/// k-means++ (Arthur and Vassilvitskii 2007) on rays: a sample is chosen with probability proportional to the squared
/// distance from it to the nearest ray {a u_k : a >= 0} chosen so far. Costs one read of X an atom.
template <class T>
matrix<T> spread_atoms(const row_blocks<T>& x, std::int64_t n_atoms, const std::vector<double>& norms,
                       random_source& random, thread_pool& pool) {
    const std::int64_t stride = padded_length<T>(x.cols());
    const std::int64_t tile = tile_samples<T>(x.cols());
    matrix<T> atoms(n_atoms, stride);
    std::vector<double> distance(norms.size());
    for (std::size_t i = 0; i < norms.size(); ++i) distance[i] = norms[i] * norms[i];
    std::vector<matrix<T>> scratch(static_cast<std::size_t>(pool.size()));
    for (std::int64_t k = 0; k < n_atoms; ++k) {
        double total = 0;
        for (const double d : distance) total += d;
        if (!(total > 0)) {
            random_atom(random, x.cols(), atoms.row(k), stride);
            continue;
        }
        const std::size_t chosen = random.weighted(distance, total);
        pack_rows(x, static_cast<std::int64_t>(chosen), 1, atoms.row(k), 1, stride);
        normalize(atoms.row(k), stride);
        distance[chosen] = 0;
        if (k + 1 == n_atoms) break;
        pool.run((x.rows() + tile - 1) / tile, [&](std::int64_t task, int worker) {
            auto& rows = scratch[static_cast<std::size_t>(worker)];
            if (rows.size() == 0) rows = matrix<T>(tile, stride);
            const std::int64_t first = task * tile;
            const std::int64_t count = std::min(tile, x.rows() - first);
            pack_rows(x, first, count, rows.data(), tile, stride);
            for (std::int64_t i = 0; i < count; ++i) {
                const auto s = static_cast<std::size_t>(first + i);
                const double along = std::max(0.0, dot(rows.row(i), atoms.row(k), stride));
                distance[s] = std::min(distance[s], std::max(0.0, norms[s] * norms[s] - along * along));
            }
        });
    }
    return atoms;
}

/// The singular directions of X, as far as a sketch shows them: coordinates of the samples along each (M x r) and the
/// directions (r x padded D, orthonormal), those with the most of X first.
template <class T>
sketch<T> singular_directions(const row_blocks<T>& x, std::int64_t n, random_source& random, thread_pool& pool) {
    auto found = sketch_of(x, n + std::max<std::int64_t>(12, n / 2), random, pool);
    const std::int64_t r = found.basis.rows();
    if (r == 0) return found;
    using square = Eigen::MatrixXd;
    square gram = square::Zero(r, r);
    for (std::int64_t i = 0; i < found.coordinates.rows(); ++i) {
        const Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>> row(found.coordinates.row(i), r);
        const Eigen::VectorXd c = row.template cast<double>();
        gram.selfadjointView<Eigen::Lower>().rankUpdate(c);
        pool.step();
    }
    const Eigen::SelfAdjointEigenSolver<square> solver(gram);
    require_converged(solver);
    const std::int64_t kept = std::min(n, r);
    matrix<T> turn(r, kept);  // largest eigenvalue first
    for (std::int64_t k = 0; k < kept; ++k) {
        for (std::int64_t j = 0; j < r; ++j) turn(j, k) = static_cast<T>(solver.eigenvectors()(j, r - 1 - k));
    }
    sketch<T> turned{matrix<T>(x.rows(), kept), matrix<T>(kept, found.basis.cols())};
    accumulate_outer(turn.data(), kept, found.basis.data(), r, kept, found.basis.cols(), turned.basis.data());
    for (std::int64_t i = 0; i < x.rows(); ++i) {
        pool.step();
        for (std::int64_t j = 0; j < r; ++j) {
            for (std::int64_t k = 0; k < kept; ++k) turned.coordinates(i, k) += found.coordinates(i, j) * turn(j, k);
        }
    }
    return turned;
}

/// A start from the singular value decomposition.
///
/// Signed atoms: K - 1 singular directions and the negative of their sum, of which any combination of the K - 1 directions
/// is a nonnegative one (Gillis and Kumar, SIAM J. Matrix Anal. Appl. 36, 2015, arXiv 1410.7220). Nonnegative atoms: of
/// each direction the positive or the negative part, whichever carries more of X together with its coordinates (NNDSVD:
/// Boutsidis and Gallopoulos, Pattern Recognition 41, 2008). Random directions where X has too few.
template <class T>
matrix<T> singular_atoms(const row_blocks<T>& x, std::int64_t n_atoms, sign entries, random_source& random, thread_pool& pool) {
    const bool is_signed = entries == sign::any && n_atoms > 1;
    const auto [coordinates, directions] = singular_directions(x, is_signed ? n_atoms - 1 : n_atoms, random, pool);
    const std::int64_t stride = padded_length<T>(x.cols());
    matrix<T> atoms = random_atoms<T>(n_atoms, x.cols(), random);
    for (std::int64_t k = 0; k < directions.rows(); ++k) {
        double sum = 0;
        double positive = 0;
        double negative = 0;
        for (std::int64_t i = 0; i < coordinates.rows(); ++i) {
            const auto c = static_cast<double>(coordinates(i, k));
            sum += c;
            (c > 0 ? positive : negative) += c * c;
        }
        double atom_positive = 0;
        double atom_negative = 0;
        for (std::int64_t d = 0; d < stride; ++d) {
            const auto u = static_cast<double>(directions(k, d));
            (u > 0 ? atom_positive : atom_negative) += u * u;
        }
        const bool keep = entries == sign::any ? sum >= 0 : positive * atom_positive >= negative * atom_negative;
        for (std::int64_t d = 0; d < stride; ++d) atoms(k, d) = keep ? directions(k, d) : -directions(k, d);
        if (entries == sign::nonnegative) clip_negative(atoms.row(k), stride);
        normalize(atoms.row(k), stride);
    }
    if (is_signed && directions.rows() == n_atoms - 1) {
        T* last = atoms.row(n_atoms - 1);
        std::fill_n(last, stride, T{});
        for (std::int64_t k = 0; k + 1 < n_atoms; ++k) {
            for (std::int64_t d = 0; d < stride; ++d) last[d] -= atoms(k, d);
        }
        normalize(last, stride);
    }
    return atoms;
}

}  // namespace coxlmm::linalg
