#pragma once

#include <cstdint>
#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/entry.pb.h>

namespace millrace::registry {

// What credentials.hpp and device_access.hpp share: the CredentialsEntry of one device.

struct DeviceRow {
  std::int32_t device_key = 0;
  std::string tenant;
  std::string device;
};

/// Puts everything beyond the device's plain tokens as it is now into the outbox, or a tombstone where there is
/// nothing. After lock_device().
[[nodiscard]] Status publish_credentials(postgres::Connection& connection, const DeviceRow& device);

/// Children and topics alone; an empty entry where none are set.
/// Whether there is more in it than credentials.
[[nodiscard]] bool grants_anything(const v1::CredentialsEntry& access);
[[nodiscard]] Result<v1::CredentialsEntry> read_access(postgres::Connection& connection, std::int32_t device_key);

/// Takes the entry out of the topic if there is one; the rows go with the device. Before that is deleted.
[[nodiscard]] Status retire_credentials(postgres::Connection& connection, const DeviceRow& device);

}  // namespace millrace::registry
