#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// A topic filter in which some levels name the tenant and the device: `{tenant}/devices/{device}/telemetry`. Levels
/// are literal, `+`, `{tenant}`, `{device}` or, as the last one, `#`. A pure value.
class TopicPattern {
 public:
  /// kInvalid says which level is wrong. `{device}` must be there; whether `{tenant}` is, has_tenant() tells.
  [[nodiscard]] static Result<TopicPattern> parse(std::string_view text);

  [[nodiscard]] bool has_tenant() const { return tenant_ != kNone; }

  /// What a broker is asked for: the placeholders are `+`.
  [[nodiscard]] std::string filter() const;

  struct Named {
    std::string_view tenant;  ///< empty where the pattern has none
    std::string_view device;
  };
  /// Whom the topic names, as written: not checked against the grammar of ids. None: another topic.
  [[nodiscard]] std::optional<Named> match(std::string_view topic) const;

  /// Whether a topic exists that both match: a broker would deliver its messages twice.
  [[nodiscard]] bool overlaps(const TopicPattern& other) const;

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::vector<std::string> levels_;  // `+` for placeholders, `#` only last
  std::size_t tenant_ = kNone;       // index of the level
  std::size_t device_ = kNone;
};

}  // namespace millrace::gateway
