#pragma once

#include <string>

#include <millrace/base/digest.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/entry.pb.h>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

// What the functions of devices.hpp share: rows to messages.

/// Columns tenant, device, device_key, enabled, created_at, attributes::text, number of tokens, type.
[[nodiscard]] v1::Device device_at(const postgres::Rows& rows, int row);

/// For the topic, still without tokens.
[[nodiscard]] v1::Entry entry_of(const v1::Device& device);

[[nodiscard]] inline std::string new_token() { return "mt_" + random_token(24); }

}  // namespace millrace::registry
