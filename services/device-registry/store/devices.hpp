#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

inline constexpr std::size_t kMaxAttributesBytes = 16 * 1024;
inline constexpr int kMaxTokens = 10;

struct NewDevice {
  std::string device;
  std::string attributes_json;  ///< empty: {}
  std::string token_sha256;     ///< 32 bytes; empty: a token is drawn
  std::string type;             ///< empty: none
};

/// kInvalid unless the text is a JSON object of at most kMaxAttributesBytes (empty: fine).
[[nodiscard]] Status check_attributes(const std::string& json);

/// kInvalid unless it is empty or has the length of a SHA-256.
[[nodiscard]] Status check_token_digest(const std::string& sha256);

/// Creates those that do not exist yet, each with a first token; the answers come in order. A device that exists is
/// kAlreadyExists, unless it has the token whose digest was given: then it is answered as it is (`existed`). kConflict:
/// another device has this token. kNotFound: no such type. As a whole kNotFound: no such tenant. A handful of
/// statements, however many devices.
[[nodiscard]] Result<std::vector<Result<v1::CreateDeviceResponse>>> create_devices(postgres::Connection& connection,
                                                                                   const std::string& tenant,
                                                                                   std::span<const NewDevice> devices);
/// The device's key. Until the transaction ends nobody else changes the device or what belongs to it: what is published
/// of it is complete, and its parts can be counted.
[[nodiscard]] Result<std::int32_t> lock_device(postgres::Connection& connection, const std::string& tenant,
                                               const std::string& device);
/// Puts it, with its plain tokens as they are now, into the outbox. After lock_device() or an UPDATE of its row.
[[nodiscard]] Status publish_device(postgres::Connection& connection, const v1::Device& device);

[[nodiscard]] Result<v1::Device> get_device(postgres::Connection& connection, const std::string& tenant,
                                            const std::string& device);
[[nodiscard]] Result<v1::ListDevicesResponse> list_devices(postgres::Connection& connection, const std::string& tenant,
                                                           const std::string& prefix, const std::string& after,
                                                           int limit);
enum class Enabled { kNo, kYes };
[[nodiscard]] Result<v1::Device> set_device_enabled(postgres::Connection& connection, const std::string& tenant,
                                                    const std::string& device, Enabled enabled);
/// The new token's text. kConflict at kMaxTokens.
[[nodiscard]] Result<std::string> add_device_token(postgres::Connection& connection, const std::string& tenant,
                                                   const std::string& device);
[[nodiscard]] Status delete_device(postgres::Connection& connection, const std::string& tenant,
                                   const std::string& device);

}  // namespace millrace::registry
