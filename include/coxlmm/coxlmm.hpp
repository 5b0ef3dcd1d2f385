// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coxlmm/adapt/eigen.hpp"
#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/process_group.hpp"
#include "coxlmm/core/row_blocks.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/grounding.hpp"
#include "coxlmm/kmeans.hpp"
#include "coxlmm/largest_norm.hpp"
#include "coxlmm/metrics.hpp"
#include "coxlmm/nmf.hpp"
#include "coxlmm/online_semi_nmf.hpp"
#include "coxlmm/pca.hpp"
#include "coxlmm/semi_nmf.hpp"
#include "coxlmm/sparse_coding.hpp"
