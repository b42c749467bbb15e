set(MILLRACE_SANITIZER "" CACHE STRING "asan-ubsan, tsan, coverage, fuzz or empty")
set_property(CACHE MILLRACE_SANITIZER PROPERTY STRINGS "" asan-ubsan tsan coverage fuzz)

# What both sanitizers ask for: frames and lines for their reports, and speed. More of either only makes the build longer.
# TSan keeps -O2: what GCC 12 makes of runtime_test with it at -O1 destroys an object that was destroyed before.
if(MILLRACE_SANITIZER MATCHES "^(asan-ubsan|fuzz)$")
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")
elseif(MILLRACE_SANITIZER STREQUAL "tsan")
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
endif()

if(MILLRACE_SANITIZER STREQUAL "asan-ubsan")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(MILLRACE_SANITIZER STREQUAL "tsan")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  # Asio orders with fences, which GCC's TSan does not model; it says so by a warning.
  add_compile_options(-Wno-tsan)
  add_link_options(-fsanitize=thread)
  # C11 threads, options and suppressions; the reason is in the file.
  add_library(millrace_tsan STATIC ${CMAKE_CURRENT_LIST_DIR}/tsan/runtime.cpp ${CMAKE_CURRENT_LIST_DIR}/tsan/absl_mutex.cpp)
  link_libraries(millrace_tsan)
  add_link_options(-Wl,-u,__tsan_default_options,-u,thrd_create,-u,_ZN4absl7debian35Mutex4LockEv)
elseif(MILLRACE_SANITIZER STREQUAL "coverage")
  add_compile_options(--coverage)
  add_link_options(--coverage)
elseif(MILLRACE_SANITIZER STREQUAL "fuzz")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "MILLRACE_SANITIZER=fuzz needs Clang: cmake --preset fuzz")
  endif()
  # Everything is instrumented: coverage feedback comes from the code under test, not from the target alone.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=fuzzer-no-link,address,undefined)
elseif(MILLRACE_SANITIZER)
  message(FATAL_ERROR "MILLRACE_SANITIZER=${MILLRACE_SANITIZER} is none of asan-ubsan, tsan, coverage, fuzz")
endif()
