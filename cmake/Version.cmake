# millrace_version: the text that --version prints. The commit is read at build time into one small source, so that a
# new commit recompiles that file and relinks, nothing else.
set(version_source ${CMAKE_BINARY_DIR}/generated/version.cpp)
add_custom_target(millrace_version_source
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION} -DOUTPUT=${version_source}
          -P ${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${version_source} VERBATIM)
add_library(millrace_version STATIC ${version_source})
add_dependencies(millrace_version millrace_version_source)
set_target_properties(millrace_version PROPERTIES MILLRACE_LAYER 0)
