#pragma once

#include <string>
#include <string_view>

#include <millrace/mqtt/properties.hpp>

namespace millrace::gateway {

/// What the core wants to know of a PUBLISH's or a will's properties. The views are those of the properties.
struct DeviceMessage {
  std::string_view content_type;
  std::string_view message_id;   ///< user property `message-id`
  std::string_view traceparent;  ///< valid, or empty
  std::string_view ack;          ///< user property `ack`, as it came
};

inline constexpr std::size_t kMaxMessageIdBytes = 128;

[[nodiscard]] DeviceMessage read_properties(const mqtt::Properties& properties);

/// The broker's name for a session of a device: nobody takes over another device's. Device ids have no slash.
[[nodiscard]] std::string session_name(std::string_view device, std::string_view client_id);
struct SessionOwner {
  std::string_view device;
  std::string_view client_id;
};
[[nodiscard]] SessionOwner owner_of(std::string_view session_name);

}  // namespace millrace::gateway
