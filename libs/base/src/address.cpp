#include <array>
#include <charconv>

#include <arpa/inet.h>

#include <millrace/base/address.hpp>

namespace millrace {

std::string Address::to_string() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Address> parse_address(std::string_view text) {
  const Error bad{ErrorKind::kInvalid, "'" + std::string(text) + "' is not host:port"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!host.empty() && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad;
  }
  Address address{host.empty() ? std::string("0.0.0.0") : std::string(host), 0};
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || code != std::errc{} || end != port.data() + port.size()) return bad;
  return address;
}

std::string owner_of_address(const std::string& host) {
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return host;
  if (!IN6_IS_ADDR_V4MAPPED(&v6)) return {reinterpret_cast<const char*>(v6.s6_addr), 8};
  std::array<char, INET_ADDRSTRLEN> v4{};
  ::inet_ntop(AF_INET, v6.s6_addr + 12, v4.data(), v4.size());
  return v4.data();
}

}  // namespace millrace
