# Configures two projects with millrace_library(): one in order, one whose lower library uses the higher one.
function(configure name low_layer high_layer expect)
  set(dir ${WORK_DIR}/${name})
  file(REMOVE_RECURSE ${dir})
  foreach(lib low high)
    file(WRITE ${dir}/${lib}/src/${lib}.cpp "int ${lib}() { return 1; }\n")
    file(MAKE_DIRECTORY ${dir}/${lib}/include)
  endforeach()
  file(WRITE ${dir}/low/CMakeLists.txt "millrace_library(low LAYER ${low_layer})\n")
  file(WRITE ${dir}/high/CMakeLists.txt "millrace_library(high LAYER ${high_layer} DEPS low)\n")
  file(WRITE ${dir}/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.25)\nproject(check CXX)\nadd_library(millrace_warnings INTERFACE)\n"
    "include(${SOURCE_DIR}/cmake/Library.cmake)\nadd_subdirectory(low)\nadd_subdirectory(high)\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${dir} -B ${dir}/build RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(expect STREQUAL "accepted" AND NOT code EQUAL 0)
    message(FATAL_ERROR "${name}: should have been accepted:\n${out}")
  elseif(expect STREQUAL "refused" AND (code EQUAL 0 OR NOT out MATCHES "may not use millrace_low"))
    message(FATAL_ERROR "${name}: should have been refused with the layer rule:\n${out}")
  endif()
endfunction()

configure(lower_layer 1 2 accepted)
configure(same_layer 2 2 refused)
configure(higher_layer 3 2 refused)
