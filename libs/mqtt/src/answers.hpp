// What the parts of the connection share when they write answers.
#pragma once

#include <string_view>

#include <millrace/mqtt/properties.hpp>
#include <millrace/mqtt/server_connection.hpp>

namespace millrace::mqtt {

/// Property buffer that keeps its memory from one packet to the next. One user at a time.
inline PropertyWriter& scratch() {
  thread_local PropertyWriter writer;
  writer.clear();
  return writer;
}

/// Reason strings come from the owner: no longer than a property can be, cut between characters.
inline std::string_view shortened(std::string_view text) {
  constexpr std::size_t kMost = 1024;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

inline Properties explained(std::string_view reason_string, std::span<const UserProperty> user_properties) {
  PropertyWriter& writer = scratch();
  for (const UserProperty& property : user_properties) writer.add_user(property.name, property.value);
  if (!reason_string.empty()) writer.add(PropertyId::kReasonString, shortened(reason_string));
  return writer.view();
}

}  // namespace millrace::mqtt
