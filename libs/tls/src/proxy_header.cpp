#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

#include <millrace/tls/proxy_header.hpp>

namespace millrace::tls {
namespace {

using Bits = std::array<std::uint8_t, 16>;

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV4Bytes = 12;
constexpr std::size_t kV6Bytes = 36;
constexpr unsigned kByteBits = 8;
constexpr unsigned kV4Prefix = 96;  // bits before an IPv4 number that is mapped into IPv6

unsigned byte_at(std::string_view bytes, std::size_t index) { return static_cast<unsigned char>(bytes[index]); }

std::uint16_t port_at(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint16_t>(byte_at(bytes, index) << kByteBits | byte_at(bytes, index + 1));
}

std::string number_text(int family, const char* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return inet_ntop(family, bytes, text.data(), text.size()) == nullptr ? "" : text.data();
}

std::optional<Bits> parse_number(const std::string& text, bool& v4) {
  Bits bits{};
  v4 = inet_pton(AF_INET, text.c_str(), bits.data() + kV4Prefix / kByteBits) == 1;
  if (v4) {
    bits[10] = bits[11] = 0xFF;
    return bits;
  }
  if (inet_pton(AF_INET6, text.c_str(), bits.data()) != 1) return std::nullopt;
  return bits;
}

bool same_network(const Bits& a, const Bits& b, unsigned length) {
  const unsigned whole = length / kByteBits;
  if (!std::equal(a.begin(), a.begin() + whole, b.begin())) return false;
  const unsigned rest = length % kByteBits;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (kByteBits - rest)) == 0;
}

}  // namespace

Result<std::size_t> proxy_length(std::string_view prefix) {
  if (prefix.size() < kProxyPrefixBytes || !prefix.starts_with(kSignature)) {
    return Error{ErrorKind::kInvalid, "the connection of a balancer does not begin with a PROXY header of version 2"};
  }
  const unsigned command = byte_at(prefix, 12);
  if (command != 0x20 && command != 0x21) {
    return Error{ErrorKind::kInvalid, "the version or command of the PROXY header is not known"};
  }
  const std::size_t length = port_at(prefix, 14);
  if (length > kMostProxyBytes) {
    return Error{ErrorKind::kTooLarge, "the PROXY header has " + std::to_string(length) + " bytes, the most are 2048"};
  }
  return length;
}

Result<std::optional<Address>> proxy_source(std::string_view header) {
  constexpr unsigned kLocal = 0x20;
  constexpr unsigned kTcpV4 = 0x11;
  constexpr unsigned kTcpV6 = 0x21;
  const unsigned family = byte_at(header, 13);
  if (byte_at(header, 12) == kLocal || (family != kTcpV4 && family != kTcpV6)) return std::optional<Address>{};
  const std::string_view body = header.substr(kProxyPrefixBytes);
  if (body.size() < (family == kTcpV4 ? kV4Bytes : kV6Bytes)) {
    return Error{ErrorKind::kInvalid, "the PROXY header is too short for its addresses"};
  }
  if (family == kTcpV4) return std::optional(Address{number_text(AF_INET, body.data()), port_at(body, 8)});
  return std::optional(Address{number_text(AF_INET6, body.data()), port_at(body, 32)});
}

Result<Networks> Networks::parse(std::string_view text) {
  Networks networks;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t slash = std::min(part.find('/'), part.size());
    bool v4 = false;
    const auto bits = parse_number(std::string(part.substr(0, slash)), v4);
    unsigned length = v4 ? 32 : 128;
    bool good = bits.has_value();
    if (slash < part.size()) {
      const std::string_view digits = part.substr(slash + 1);
      unsigned said = 0;
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), said);
      good = good && read.ec == std::errc() && read.ptr == digits.data() + digits.size() && said <= length;
      length = said;
    }
    if (!good) return Error{ErrorKind::kInvalid, "'" + std::string(part) + "' is no IP address or network"};
    networks.all_.push_back({*bits, length + (v4 ? kV4Prefix : 0)});
  }
  return networks;
}

bool Networks::contains(const std::string& number) const {
  bool v4 = false;
  const auto bits = parse_number(number, v4);
  return bits && std::ranges::any_of(
                     all_, [&](const Network& network) { return same_network(*bits, network.bits, network.length); });
}

}  // namespace millrace::tls
