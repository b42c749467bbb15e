#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::telemetry {

/// Coordinates of a record: `3:4711`, in later generations of the log `3:4711.1`; of a dead letter `dead:3:12`.
struct Receipt {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int32_t generation = 0;
  bool dead = false;  ///< coordinates in the topic telemetry.dead

  [[nodiscard]] std::string to_string() const;
  bool operator==(const Receipt&) const = default;
};

/// kInvalid says what a receipt looks like.
[[nodiscard]] Result<Receipt> parse_receipt(std::string_view text);

}  // namespace millrace::telemetry
