#include "limits/over_limit.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace millrace::gateway {

std::string_view to_string(LimitKind kind) {
  switch (kind) {
    case LimitKind::kMessages:
      return "messages";
    case LimitKind::kBytes:
      return "bytes";
    case LimitKind::kPoints:
      return "points";
    case LimitKind::kConnects:
      return "connects";
    case LimitKind::kConnections:
      return "connections";
  }
  return "messages";
}

std::string_view to_string(LimitScope scope) { return scope == LimitScope::kDevice ? "device" : "tenant"; }

std::string OverLimit::value_text() const {
  std::array<char, 32> text{};
  const auto done = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), done.ptr};
}

std::string OverLimit::message() const {
  std::string text("the ");
  text.append(to_string(scope)).append(" may ");
  switch (limit) {
    case LimitKind::kMessages:
    case LimitKind::kBytes:
    case LimitKind::kPoints:
      text.append("send ").append(value_text()).append(" ").append(to_string(limit)).append(" a second");
      break;
    case LimitKind::kConnects:
      text.append("connect ").append(value_text()).append(" times a second");
      break;
    case LimitKind::kConnections:
      // When one ends nobody knows.
      text.append("have ").append(value_text()).append(" connections open");
      return text.append("; close one, or try again when one has ended");
  }
  return text.append("; try again in ").append(std::to_string(retry_after.count())).append(" ms");
}

std::string OverLimit::json_members() const {
  std::string out("\"limit\":\"");
  out.append(to_string(limit)).append("\",\"scope\":\"").append(to_string(scope)).append("\",\"value\":");
  return out.append(value_text()).append(",\"retry_after_ms\":").append(std::to_string(retry_after.count()));
}

std::uint32_t OverLimit::retry_after_s() const {
  constexpr std::int64_t kMost = 1'000'000;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(retry_after).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 1, kMost));
}

}  // namespace millrace::gateway
