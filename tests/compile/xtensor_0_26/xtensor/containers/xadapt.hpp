// SPDX-License-Identifier: Apache-2.0
#include_next <xtensor/xadapt.hpp>
