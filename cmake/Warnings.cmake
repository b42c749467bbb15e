option(MILLRACE_WARNINGS_AS_ERRORS "treat warnings as errors" OFF)

add_library(millrace_warnings INTERFACE)
target_compile_options(millrace_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wswitch-enum -Wnon-virtual-dtor
  $<$<BOOL:${MILLRACE_WARNINGS_AS_ERRORS}>:-Werror>)
if(MILLRACE_SANITIZER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC's flow warnings see code that the sanitizers inserted.
  target_compile_options(millrace_warnings INTERFACE -Wno-error=maybe-uninitialized -Wno-error=stringop-overflow
    -Wno-error=array-bounds -Wno-error=restrict)
endif()
