# Adds the Eigen of the cmeel-eigen wheel to CMAKE_PREFIX_PATH, so that building the Python package needs the Python
# registry alone. Include before find_package(Eigen3); where the wheel is absent, the system's Eigen is used.
#
# The wheel unpacks below <site-packages>/cmeel.prefix, and site-packages is another folder in every isolated build: so
# the interpreter that runs the build is asked, and an answer cached by an earlier build is forgotten.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)

execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
    "from importlib.metadata import distribution as d; print(d('cmeel-eigen').locate_file('cmeel.prefix').as_posix())"
  OUTPUT_VARIABLE _cmeel_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE _cmeel_missing
  ERROR_QUIET)

if(NOT _cmeel_missing AND IS_DIRECTORY "${_cmeel_prefix}")
  list(PREPEND CMAKE_PREFIX_PATH "${_cmeel_prefix}")
  unset(Eigen3_DIR CACHE)
endif()
unset(_cmeel_prefix)
unset(_cmeel_missing)
