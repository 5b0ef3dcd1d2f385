# cmake -DBUILD=<build tree of coxlmm> -DSOURCE=<this folder> -DWORK=<scratch> -DCOMPILER=<c++> -DEIGEN3_DIR=<its CMake
# package> -P run.cmake
# Installs coxlmm, then configures, builds and runs the consumer against that install tree alone.
file(REMOVE_RECURSE ${WORK})
set(step COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix ${step})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=${COMPILER}
                        -DCMAKE_PREFIX_PATH=${WORK}/prefix -DEigen3_DIR=${EIGEN3_DIR} ${step})
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build ${step})
execute_process(COMMAND ${WORK}/build/consumer ${step})
