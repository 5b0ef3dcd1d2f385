// SPDX-License-Identifier: Apache-2.0
#error "since 0.26 this header is <xtensor/containers/xfixed.hpp>"
