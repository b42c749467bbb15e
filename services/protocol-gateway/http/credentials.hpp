#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// `device@tenant` split; kInvalid says what is expected. The views point into `user`.
struct DeviceName {
  std::string_view device;
  std::string_view tenant;
};
[[nodiscard]] Result<DeviceName> parse_device_name(std::string_view user);

/// What an Authorization header shows.
struct HttpCredentials {
  std::string user;    ///< `device@tenant`; empty with Bearer
  std::string secret;  ///< token or password
};

/// `Basic` (RFC 7617) or `Bearer` (RFC 6750). Ids and passwords may hold colons: a pair with several is split at the
/// last one behind a device that `known` says there is, else at the last one. kUnauthenticated says which forms there
/// are, never what was given.
using KnowsDevice = std::function<bool(std::string_view tenant, std::string_view device)>;
[[nodiscard]] Result<HttpCredentials> parse_authorization(std::string_view header, const KnowsDevice& known);

}  // namespace millrace::gateway
