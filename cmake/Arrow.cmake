# dep::arrow: Arrow C++ with Parquet and S3, as `./dev` unpacks it from the pinned pyarrow wheel (tools/dev/millrace_dev/
# arrow.py). Where it is absent parquet-worker is not built and everything else is: only the archive of closed days needs it.
# Its libraries carry an OpenSSL of their own, so nothing but parquet-worker may use the target (docs/adr/0006-archive.md).
set(MILLRACE_ARROW "${CMAKE_SOURCE_DIR}/.dev/tools/arrow" CACHE PATH "folder with include/ and lib/ of Arrow C++")
set(arrow_soversion 2600)

function(millrace_arrow_library name)
  add_library(${name} SHARED IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES
    IMPORTED_LOCATION ${MILLRACE_ARROW}/lib/lib${name}.so.${arrow_soversion}
    IMPORTED_SONAME lib${name}.so.${arrow_soversion}
    INTERFACE_INCLUDE_DIRECTORIES ${MILLRACE_ARROW}/include)
endfunction()

# The sanitizers would have to know the libraries' own allocations.
if(EXISTS ${MILLRACE_ARROW}/lib/libparquet.so.${arrow_soversion} AND NOT MILLRACE_SANITIZER)
  millrace_arrow_library(arrow)
  millrace_arrow_library(parquet)
  millrace_arrow_library(arrow_s3)
  millrace_dependency(arrow parquet arrow_s3 arrow)
else()
  message(STATUS "Arrow C++ is not in ${MILLRACE_ARROW}: parquet-worker is not built, closed days stay in the database")
endif()
