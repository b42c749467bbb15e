#include <gtest/gtest.h>

#include <millrace/tls/proxy_header.hpp>

namespace millrace::tls {
namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string header(char command, char family, const std::string& body) {
  const auto size = static_cast<unsigned>(body.size());
  return kSignature + command + family + static_cast<char>(size >> 8) + static_cast<char>(size & 0xFF) + body;
}

const std::string kV4("\x0a\x09\x08\x07\x0a\x00\x00\x01\x12\x67\x22\xb3", 12);

TEST(ProxyHeader, GivesTheClientsAddress) {
  const std::string v4 = header(0x21, 0x11, kV4 + "extension");
  ASSERT_EQ(proxy_length(v4.substr(0, kProxyPrefixBytes)).value(), 21U);
  EXPECT_EQ(proxy_source(v4).value(), (Address{"10.9.8.7", 4711}));
  std::string body(36, '\0');
  body[0] = static_cast<char>(0xFD);
  body[15] = 1;
  body[33] = 80;
  EXPECT_EQ(proxy_source(header(0x21, 0x21, body)).value(), (Address{"fd00::1", 80}));
}

TEST(ProxyHeader, KeepsTheBalancersAddressWhereItSpeaksForItself) {
  EXPECT_FALSE(proxy_source(header(0x20, 0x00, "")).value());
  EXPECT_FALSE(proxy_source(header(0x21, 0x31, std::string(216, 'x'))).value()) << "a socket of UNIX";
}

TEST(ProxyHeader, RefusesWhatIsNone) {
  EXPECT_FALSE(proxy_length("PROXY TCP4 10.9.8.7 10").ok()) << "version 1";
  EXPECT_FALSE(proxy_length(header(0x31, 0x11, kV4)).ok()) << "another version";
  EXPECT_FALSE(proxy_length(header(0x22, 0x11, kV4)).ok()) << "another command";
  EXPECT_EQ(proxy_length(header(0x21, 0x11, std::string(3000, 'x'))).error().kind, ErrorKind::kTooLarge);
  EXPECT_FALSE(proxy_source(header(0x21, 0x11, kV4.substr(1))).ok()) << "too short for its addresses";
}

TEST(Networks, AreAddressesAndPrefixes) {
  const auto networks = Networks::parse("10.0.0.0/8,192.168.1.5,fd00::/9");
  ASSERT_TRUE(networks.ok());
  for (const char* in : {"10.255.0.1", "192.168.1.5", "fd7f::1", "::ffff:10.1.2.3"}) {
    EXPECT_TRUE(networks->contains(in)) << in;
  }
  for (const char* out : {"11.0.0.1", "192.168.1.4", "fd80::1", "::1", "nonsense", ""}) {
    EXPECT_FALSE(networks->contains(out)) << out;
  }
  EXPECT_TRUE(Networks::parse("")->empty());
  EXPECT_TRUE(Networks::parse("0.0.0.0/0")->contains("1.2.3.4"));
  EXPECT_FALSE(Networks::parse("0.0.0.0/0")->contains("fd00::1"));
}

TEST(Networks, SayWhichPartIsNone) {
  for (const char* wrong : {"10.0.0.0/33", "fd00::/129", "10.0.0/8", "balancer", "10.0.0.1/", "10.0.0.1/8x"}) {
    const auto parsed = Networks::parse("127.0.0.1," + std::string(wrong));
    ASSERT_FALSE(parsed.ok()) << wrong;
    EXPECT_NE(parsed.error().message.find(wrong), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace::tls
