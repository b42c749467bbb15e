#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::notifier {

/// Why a request must not go to an address, as a word for the log; empty: it is a public unicast address. Tenants
/// choose where webhooks point: loopback, private, link-local (cloud metadata), multicast and every other range of the
/// IANA special-purpose registries (RFC 6890) would reach into the platform's own network. An IPv4 address inside of an
/// IPv6 one (mapped, NAT64, 6to4) is judged as what it is.
[[nodiscard]] std::string_view refused_range(std::span<const std::uint8_t, 4> address);
[[nodiscard]] std::string_view refused_range(std::span<const std::uint8_t, 16> address);

}  // namespace millrace::notifier
