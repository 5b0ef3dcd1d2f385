# The instruction sets that this compiler can build for, in coxlmm_instruction_sets, and the flags of each <name> in
# coxlmm_flags_<name>. Elsewhere than on x86-64 it is "native" alone: whatever the compiler does by itself.
include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)

# Every flag is one that processor.cpp asks the processor for: add none without adding it there.
set(_avx2 -mavx2 -mfma -mbmi -mbmi2)
set(_avx512 ${_avx2} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl)

# Compiled for several architectures at once (macOS), it does not hold either.
check_cxx_source_compiles("
#ifndef __x86_64__
#error
#endif
int main() { return __builtin_cpu_supports(\"avx512vl\") != 0; }" COXLMM_COMPILES_FOR_X86_64)

if(COXLMM_COMPILES_FOR_X86_64)
  set(coxlmm_instruction_sets x86-64)
  foreach(name avx2 avx512)
    string(REPLACE ";" " " flags "${_${name}}")
    check_cxx_compiler_flag("${flags}" COXLMM_COMPILES_FOR_${name})
    if(COXLMM_COMPILES_FOR_${name})
      list(APPEND coxlmm_instruction_sets ${name})
      set(coxlmm_flags_${name} ${_${name}})
    endif()
  endforeach()
else()
  set(coxlmm_instruction_sets native)
endif()

# Of all the symbols of a shared object, standard library templates and inline functions included, others see this one.
function(export_only target symbol)
  if(APPLE)
    target_link_options(${target} PRIVATE "LINKER:-exported_symbol,_${symbol}")
  else()
    file(CONFIGURE OUTPUT ${target}.map CONTENT "{ global: ${symbol}; local: *; };\n")
    target_link_options(${target} PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_BINARY_DIR}/${target}.map")
  endif()
endfunction()
