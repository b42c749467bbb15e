#include "send/address_policy.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace millrace::notifier {
namespace {

std::string_view range_of(const char* text) {
  std::array<std::uint8_t, 4> v4{};
  if (inet_pton(AF_INET, text, v4.data()) == 1) return refused_range(std::span<const std::uint8_t, 4>(v4));
  std::array<std::uint8_t, 16> v6{};
  EXPECT_EQ(inet_pton(AF_INET6, text, v6.data()), 1) << text;
  return refused_range(std::span<const std::uint8_t, 16>(v6));
}

TEST(AddressPolicy, RefusesWhatIsNotPublic) {
  struct Case {
    const char* address;
    const char* range;
  };
  const Case cases[] = {
      {"0.0.0.0", "this network"},
      {"10.0.0.1", "private"},
      {"10.255.255.255", "private"},
      {"100.64.0.1", "shared"},
      {"100.100.100.200", "shared"},
      {"127.0.0.1", "loopback"},
      {"127.255.255.254", "loopback"},
      {"169.254.169.254", "link-local"},
      {"172.16.0.1", "private"},
      {"172.31.255.255", "private"},
      {"192.168.1.1", "private"},
      {"192.0.0.192", "protocol"},
      {"198.19.0.1", "benchmark"},
      {"203.0.113.7", "documentation"},
      {"224.0.0.1", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.1", "reserved"},
      {"255.255.255.255", "reserved"},
      {"::", "reserved"},
      {"::1", "loopback"},
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:169.254.169.254", "link-local"},
      {"::127.0.0.1", "reserved"},
      {"64:ff9b::10.0.0.1", "private"},
      {"2002:7f00:0001::", "loopback"},
      {"2001::1", "protocol"},
      {"2001:db8::1", "documentation"},
      {"fc00::1", "private"},
      {"fd00:ec2::254", "private"},
      {"fe80::1", "link-local"},
      {"febf::1", "link-local"},
      {"fec0::1", "reserved"},
      {"ff02::1", "multicast"},
      {"4000::1", "reserved"},
  };
  for (const Case& one : cases) EXPECT_EQ(range_of(one.address), one.range) << one.address;
}

TEST(AddressPolicy, LetsPublicAddressesThrough) {
  for (const char* address :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
        "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255", "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8", "2002:0808:0808::", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"}) {
    EXPECT_EQ(range_of(address), "") << address;
  }
}

}  // namespace
}  // namespace millrace::notifier
