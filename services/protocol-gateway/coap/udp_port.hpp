#pragma once

#include <string_view>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// libcoap binds with SO_REUSEADDR, and on Linux a second such server on a UDP port silently takes all its traffic.
/// So: ask for the port first without that option, and take the option off libcoap's socket once it is bound; the bind
/// of any later server then fails.

/// The address with its port, a free one for port 0. kUnavailable names the address and `setting` if it is in use;
/// kInvalid if it is no IP address.
[[nodiscard]] Result<Address> reserve_udp_port(const Address& address, std::string_view setting);

/// Finds the socket bound to `address` among those that `epoll` watches, gives it the larger receive buffer that bursts
/// need and makes the port its own. kInternal if there is no such socket.
[[nodiscard]] Status hold_udp_port(int epoll, const Address& address, std::string_view setting);

}  // namespace millrace::gateway
