#pragma once

#include <cstdint>

#include <millrace/base/time.hpp>

namespace millrace::query_api {

/// A number of a series as its row has it.
struct Number {
  TimeUs time = 0;
  double value = 0;
  std::int64_t whole = 0;  ///< with is_whole: an integer too large for `value`, exactly
  bool is_whole = false;
  bool untimed = false;
};

/// The numbers of one stretch of time.
struct Bucket {
  TimeUs time = 0;
  std::int64_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double first = 0;
  double last = 0;
  TimeUs first_time = 0;
  TimeUs last_time = 0;
};

}  // namespace millrace::query_api
