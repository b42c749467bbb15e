// What comes before the first byte of a client behind a balancer, and lists of networks.
#include <algorithm>
#include <string>

#include <millrace/tls/proxy_header.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::tls;

void check_header(std::string_view bytes) {
  const auto length = proxy_length(bytes.substr(0, kProxyPrefixBytes));
  if (!length) {
    require(!length.error().message.empty(), "a refusal says why");
    return;
  }
  require(*length <= kMostProxyBytes, "no header is longer than the most");
  if (bytes.size() < kProxyPrefixBytes + *length) return;
  const auto source = proxy_source(bytes.substr(0, kProxyPrefixBytes + *length));
  if (!source || !*source) return;
  const std::string& host = (*source)->host;
  const auto itself = Networks::parse(host);
  require(itself.ok() && itself->contains(host), "the address is written as others read it");
}

void check_networks(std::string_view text) {
  const auto networks = Networks::parse(text);
  if (!networks) {
    require(!networks.error().message.empty(), "a refusal says why");
    return;
  }
  require(networks->empty() == text.empty(), "every part is a network");
  if (text.find_first_of(",/") == std::string_view::npos && !text.empty()) {
    require(networks->contains(std::string(text)), "an address contains itself");
  }
  static_cast<void>(networks->contains("10.1.2.3"));
  static_cast<void>(networks->contains("fd00::1"));
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  check_header(bytes);
  check_networks(bytes);
}

}  // namespace millrace::fuzz
