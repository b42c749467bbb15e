#include "send/address_policy.hpp"

#include <algorithm>

namespace millrace::notifier {
namespace {

struct Range4 {
  std::uint32_t network;
  int bits;
  std::string_view name;
};

constexpr std::array kRanges4{
    Range4{0x00000000, 8, "this network"},    // 0.0.0.0/8: Linux takes it for the machine itself
    Range4{0x0A000000, 8, "private"},         // 10.0.0.0/8
    Range4{0x64400000, 10, "shared"},         // 100.64.0.0/10, RFC 6598; some clouds keep metadata there
    Range4{0x7F000000, 8, "loopback"},        // 127.0.0.0/8
    Range4{0xA9FE0000, 16, "link-local"},     // 169.254.0.0/16, cloud metadata
    Range4{0xAC100000, 12, "private"},        // 172.16.0.0/12
    Range4{0xC0000000, 24, "protocol"},       // 192.0.0.0/24
    Range4{0xC0000200, 24, "documentation"},  // 192.0.2.0/24
    Range4{0xC0586300, 24, "6to4 relay"},     // 192.88.99.0/24
    Range4{0xC0A80000, 16, "private"},        // 192.168.0.0/16
    Range4{0xC6120000, 15, "benchmark"},      // 198.18.0.0/15
    Range4{0xC6336400, 24, "documentation"},  // 198.51.100.0/24
    Range4{0xCB007100, 24, "documentation"},  // 203.0.113.0/24
    Range4{0xE0000000, 4, "multicast"},       // 224.0.0.0/4
    Range4{0xF0000000, 4, "reserved"},        // 240.0.0.0/4, with broadcast
};

struct Range6 {
  std::array<std::uint8_t, 16> network;
  int bits;
  std::string_view name;
};

constexpr std::array kRanges6{
    Range6{{0xFC}, 7, "private"},            // RFC 4193
    Range6{{0xFE, 0x80}, 10, "link-local"},  //
    Range6{{0xFF}, 8, "multicast"},          //
    Range6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback"},
    Range6{{0x20, 0x01, 0x0D, 0xB8}, 32, "documentation"},  //
    Range6{{0x20, 0x01}, 23, "protocol"},                   // Teredo and others
    Range6{{0x3F, 0xFF}, 20, "documentation"},              // RFC 9637
};

// Where an IPv6 address of that prefix holds an IPv4 one.
struct Embedded {
  std::array<std::uint8_t, 16> network;
  int bits;
  std::size_t at;
};

constexpr std::array kEmbedded{
    Embedded{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 96, 12},  // mapped, RFC 4291 section 2.5.5.2
    Embedded{{0x00, 0x64, 0xFF, 0x9B}, 96, 12},                    // NAT64, RFC 6052
    Embedded{{0x20, 0x02}, 16, 2},                                 // 6to4, RFC 3056
};

bool is_in(std::span<const std::uint8_t, 16> address, const std::array<std::uint8_t, 16>& network, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (!std::equal(network.begin(), network.begin() + whole, address.begin())) return false;
  const int rest = bits % 8;
  return rest == 0 || ((address[whole] ^ network[whole]) >> (8 - rest)) == 0;
}

}  // namespace

std::string_view refused_range(std::span<const std::uint8_t, 4> address) {
  std::uint32_t number = 0;
  for (const std::uint8_t byte : address) number = number << 8 | byte;
  for (const Range4& range : kRanges4) {
    if (((number ^ range.network) >> (32 - range.bits)) == 0) return range.name;
  }
  return {};
}

std::string_view refused_range(std::span<const std::uint8_t, 16> address) {
  for (const Embedded& one : kEmbedded) {
    if (is_in(address, one.network, one.bits)) {
      return refused_range(std::span<const std::uint8_t, 4>(address.data() + one.at, 4));
    }
  }
  for (const Range6& range : kRanges6) {
    if (is_in(address, range.network, range.bits)) return range.name;
  }
  // What is not 2000::/3 is not given to anybody.
  if (address[0] >> 5 != 1) return "reserved";
  return {};
}

}  // namespace millrace::notifier
