#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::gateway {

enum class LimitKind : std::uint8_t { kMessages, kBytes, kPoints, kConnects, kConnections };
inline constexpr std::size_t kLimitKinds = 5;
enum class LimitScope : std::uint8_t { kDevice, kTenant };
inline constexpr std::size_t kLimitScopes = 2;

/// `messages`, `bytes`, `points`, `connects`, `connections`: the same words on every protocol and as a metric's label.
[[nodiscard]] std::string_view to_string(LimitKind kind);
/// `device`, `tenant`.
[[nodiscard]] std::string_view to_string(LimitScope scope);

/// Which limit was met. What a device is told of it has the same members on every protocol.
struct OverLimit {
  LimitKind limit = LimitKind::kMessages;
  LimitScope scope = LimitScope::kDevice;
  double value = 0;  ///< a second; of kConnections: open at once
  std::chrono::milliseconds retry_after{0};

  /// The limit's value, in its shortest form.
  [[nodiscard]] std::string value_text() const;
  /// One sentence for a person.
  [[nodiscard]] std::string message() const;
  /// `"limit":…,"scope":…,"value":…,"retry_after_ms":…`, to be put into an object.
  [[nodiscard]] std::string json_members() const;
  /// Whole seconds, at least 1, for Retry-After and Max-Age.
  [[nodiscard]] std::uint32_t retry_after_s() const;
};

}  // namespace millrace::gateway
