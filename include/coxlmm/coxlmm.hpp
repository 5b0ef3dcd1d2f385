// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coxlmm/adapt/eigen.hpp"
#include "coxlmm/core/concepts.hpp"
#include "coxlmm/core/matrix.hpp"
#include "coxlmm/core/matrix_ref.hpp"
#include "coxlmm/core/stop_reason.hpp"
#include "coxlmm/grounding.hpp"
#include "coxlmm/semi_nmf.hpp"
#include "coxlmm/sparse_coding.hpp"
