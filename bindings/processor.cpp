// SPDX-License-Identifier: Apache-2.0
// Which instruction sets the processor and the operating system can execute. A module of its own, compiled for the
// baseline, so that asking executes nothing that might be missing.
#include <pybind11/pybind11.h>

namespace {

/// Names of builds of coxlmm._core, the fastest last.
pybind11::list instruction_sets() {
    pybind11::list names;
    // It is there only where the others are not: on another architecture, or where the compiler cannot choose.
    names.append("native");
#ifdef __x86_64__
    // The compiler's own check covers the operating system's part too: whether it saves the wide registers.
    // What is asked here is what InstructionSets.cmake compiles for.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    names.append("x86-64");
    if (avx2) names.append("avx2");
    if (avx512) names.append("avx512");
#endif
    return names;
}

}  // namespace

PYBIND11_MODULE(_processor, module) {
    module.doc() = "What the processor can execute.";
    module.def("instruction_sets", &instruction_sets);
}
