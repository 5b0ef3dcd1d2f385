# cmake -DHOW=find_package|add_subdirectory -DBUILD=<build tree of coxlmm> -DROOT=<source tree of coxlmm> -DWORK=<scratch>
# -DCOMPILER=<c++> -DEIGEN3_DIR=<its CMake package> -P run.cmake
# Configures, builds, runs and installs the consumer: against an install tree of coxlmm alone, or with coxlmm's source tree
# as a part of its own.
file(REMOVE_RECURSE ${WORK})
set(step COMMAND_ERROR_IS_FATAL ANY)
if(HOW STREQUAL "find_package")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/coxlmm ${step})
  set(coxlmm -DCMAKE_PREFIX_PATH=${WORK}/coxlmm)
else()
  set(coxlmm -DCOXLMM_SOURCE=${ROOT})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${ROOT}/tests/consumer -B ${WORK}/build -DCMAKE_BUILD_TYPE=Debug
                        -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DEigen3_DIR=${EIGEN3_DIR} ${coxlmm} ${step})
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build ${step})
execute_process(COMMAND ${WORK}/build/consumer ${step})

# The flags that main.cpp was compiled with are the consumer's own and the language.
file(READ ${WORK}/build/compile_commands.json database)
string(JSON command GET ${database} 0 command)
string(REGEX MATCHALL " -[^ ]+" flags "${command}")
list(FILTER flags EXCLUDE REGEX "^ -(I.*|isystem|std=.*20|g|o|c|Wall|Wextra|Werror|pthread)$")
if(flags)
  message(FATAL_ERROR "coxlmm leaks the flags${flags} into: ${command}")
endif()

execute_process(COMMAND ${CMAKE_COMMAND} --install ${WORK}/build --prefix ${WORK}/installed ${step})
file(GLOB_RECURSE installed RELATIVE ${WORK}/installed ${WORK}/installed/*)
if(NOT installed STREQUAL "bin/consumer")
  message(FATAL_ERROR "with the consumer there is installed: ${installed}")
endif()
