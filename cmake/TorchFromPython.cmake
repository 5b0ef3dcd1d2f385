# Finds the libtorch that the torch package of a Python carries, for the tests and examples of adapt/torch.hpp: defines the
# target `torch`, or says why not.
set(COXLMM_TORCH_PYTHON "" CACHE STRING "A Python that has torch; empty: the one of .venv, else python3; OFF: none")

if(COXLMM_TORCH_PYTHON STREQUAL "OFF")
  return()
endif()
if(COXLMM_TORCH_PYTHON)
  set(_python "${COXLMM_TORCH_PYTHON}")
elseif(EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  set(_python "${PROJECT_SOURCE_DIR}/.venv/bin/python")
else()
  set(_python python3)
endif()
execute_process(COMMAND "${_python}" -c "import torch; print(torch.utils.cmake_prefix_path, torch.version.cuda or 'cpu', sep=';')"
                OUTPUT_VARIABLE _torch OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _torch_missing ERROR_QUIET)

if(_torch_missing)
  message(STATUS "The tests of adapt/torch.hpp are skipped: ${_python} has no torch (COXLMM_TORCH_PYTHON names another Python)")
else()
  list(POP_BACK _torch _cuda)
  if(NOT _cuda STREQUAL "cpu")
    find_package(CUDAToolkit QUIET)
  endif()
  if(_cuda STREQUAL "cpu" OR CUDAToolkit_FOUND)
    find_package(Torch REQUIRED PATHS "${_torch}" NO_DEFAULT_PATH)
  else()
    # TorchConfig.cmake would stop the configuration.
    message(STATUS "The tests of adapt/torch.hpp are skipped: the torch of ${_python} is built for CUDA ${_cuda}, whose toolkit is absent")
  endif()
endif()
