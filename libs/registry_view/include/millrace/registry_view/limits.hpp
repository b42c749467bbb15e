#pragma once

#include <cstdint>
#include <memory>

#include <millrace/base/token_bucket.hpp>

namespace millrace::registry_view {

/// 0 a second: no limit. Where there is one the burst is at least 1.
struct Rate : TokenRate {
  [[nodiscard]] bool limited() const { return per_second > 0; }
  bool operator==(const Rate& other) const { return per_second == other.per_second && burst == other.burst; }
};

/// What a tenant or a device may do. Bytes are those of payloads.
struct Limits {
  Rate messages = {};
  Rate bytes = {};
  Rate points = {};
  Rate connects = {};
  std::uint32_t connections = 0;  ///< open at once; 0: no limit

  bool operator==(const Limits&) const = default;
};

/// Null: no limits.
using LimitsPtr = std::shared_ptr<const Limits>;

/// Of one device: what all devices of its tenant share, and what is its own.
struct LimitsOf {
  LimitsPtr tenant;
  LimitsPtr device;
};

}  // namespace millrace::registry_view
