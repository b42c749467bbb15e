#pragma once

#include <string_view>

#include <millrace/base/digest.hpp>
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
  std::string user;  ///< `device@tenant`; empty with Bearer
  Sha256 token{};
};

/// `Basic` (RFC 7617) or `Bearer` (RFC 6750). kUnauthenticated says which forms there are, never what was given.
[[nodiscard]] Result<HttpCredentials> parse_authorization(std::string_view header);

}  // namespace millrace::gateway
