#pragma once

#include <cstdint>
#include <string_view>

#include "load/ledger.hpp"

namespace millrace::fleet {

struct HttpAnswer {
  int status = 0;
  std::int64_t retry_after_s = 0;
  bool close = false;
  std::string_view body;
};

enum class HttpParse : std::uint8_t { kIncomplete, kComplete, kBroken };

/// Takes one answer with Content-Length off the front of `input`; views point into it.
[[nodiscard]] HttpParse take_answer(std::string_view& input, HttpAnswer& answer);

/// The receipt in `{"receipt":"3:4711"}`; not given when there is none.
[[nodiscard]] Receipt receipt_in(std::string_view body);

}  // namespace millrace::fleet
