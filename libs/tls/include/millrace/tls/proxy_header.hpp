#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

namespace millrace::tls {

// PROXY protocol version 2 (haproxy.org, proxy-protocol.txt section 2.2): what a balancer says of the client before the
// client's own bytes. Version 1, a text line, is not spoken.

inline constexpr std::size_t kProxyPrefixBytes = 16;   ///< signature, command, family, length
inline constexpr std::size_t kMostProxyBytes = 2'048;  ///< addresses and extensions behind the prefix

/// Bytes that follow the prefix. kInvalid if it is none, kTooLarge above kMostProxyBytes.
[[nodiscard]] Result<std::size_t> proxy_length(std::string_view prefix);

/// The client's address out of the whole header; none for the balancer's own connections (LOCAL: its health checks)
/// and for families that have no IP address. kInvalid if the addresses do not fit into it.
[[nodiscard]] Result<std::optional<Address>> proxy_source(std::string_view header);

/// A set of IP networks. A connection of one of them must begin with the header; of others it is not looked for.
class Networks {
 public:
  /// Addresses and networks (`10.0.0.0/8`, `fd00::/8`) with commas between; empty: none. kInvalid names the part that
  /// is none.
  [[nodiscard]] static Result<Networks> parse(std::string_view text);
  /// `number` as inet_ntop(3) writes it; an IPv4 one mapped into IPv6 counts as IPv4.
  [[nodiscard]] bool contains(const std::string& number) const;
  [[nodiscard]] bool empty() const { return all_.empty(); }

 private:
  struct Network {
    std::array<std::uint8_t, 16> bits{};  // IPv4 mapped into IPv6
    unsigned length = 0;
  };
  std::vector<Network> all_;
};

}  // namespace millrace::tls
