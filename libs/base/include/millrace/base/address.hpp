#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace {

struct Address {
  std::string host;  ///< name or number; an IPv6 number without brackets
  std::uint16_t port = 0;

  [[nodiscard]] std::string to_string() const;
  bool operator==(const Address&) const = default;
};

/// `host:port`, `[v6]:port` or `:port` (host 0.0.0.0). Port 0 asks the system for a free one.
[[nodiscard]] Result<Address> parse_address(std::string_view text);

/// What of a number in `host` tells who has it: all of IPv4, also where it is mapped into IPv6; of IPv6 the first eight
/// bytes as they are, since a site has at least those (RFC 6177). Anything else comes back as it is.
[[nodiscard]] std::string owner_of_address(const std::string& host);

}  // namespace millrace
