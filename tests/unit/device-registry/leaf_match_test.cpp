#include "provisioning/leaf_match.hpp"

#include <gtest/gtest.h>

#include "test_certificates.hpp"

namespace millrace::registry {
namespace {

class LeafMatchTest : public ::testing::Test {
 protected:
  static v1::AuthorityEntry authority(const std::string& name, const test::TestCertificate& certificate,
                                      const std::string& pattern = "{device}",
                                      v1::SubjectSource source = v1::SUBJECT_SOURCE_COMMON_NAME) {
    v1::AuthorityEntry made;
    made.set_authority(name);
    made.set_certificate(certificate.der());
    made.set_pattern(pattern);
    made.set_source(source);
    made.set_enabled(true);
    made.set_provisions(true);
    return made;
  }
  test::TestCertificate leaf(const std::string& name, const std::string& alternatives) {
    return test::make_certificate({.common_name = name, .extensions = {{NID_subject_alt_name, alternatives}}}, &root_);
  }
  // "authority/device", or what is said.
  std::string match(const std::vector<v1::AuthorityEntry>& authorities, const test::TestCertificate& certificate,
                    TimeUs now = now_us()) {
    const auto found = match_leaf(authorities, {certificate.der()}, now);
    return found.ok() ? found->authority->authority() + "/" + found->device : found.error().message;
  }

  const test::TestCertificate root_ = test::make_authority("root");
  const test::TestCertificate other_ = test::make_authority("other");
};

TEST_F(LeafMatchTest, FirstAuthorityThatLetsItInIsTaken) {
  const std::vector all{authority("a", other_), authority("b", root_, "urn:{device}"), authority("c", root_),
                        authority("d", root_)};
  EXPECT_EQ(match(all, test::make_leaf("meter", root_)), "c/meter");
  EXPECT_EQ(match(all, test::make_leaf("urn:meter", root_)), "b/meter");
}

TEST_F(LeafMatchTest, NameStandsWhereTheAuthoritySays) {
  const auto certificate = leaf("cn", "DNS:dns.example,URI:urn:meter:uri,email:mail@example.org");
  EXPECT_EQ(match({authority("a", root_)}, certificate), "a/cn");
  EXPECT_EQ(match({authority("a", root_, "{device}.example", v1::SUBJECT_SOURCE_DNS_NAME)}, certificate), "a/dns");
  EXPECT_EQ(match({authority("a", root_, "urn:meter:{device}", v1::SUBJECT_SOURCE_URI)}, certificate), "a/uri");
  EXPECT_EQ(match({authority("a", root_, "{device}@example.org", v1::SUBJECT_SOURCE_EMAIL)}, certificate), "a/mail");
}

TEST_F(LeafMatchTest, LeafOfTwoDevicesIsRefused) {
  const auto both = leaf("cn", "DNS:m1,DNS:m2");
  EXPECT_EQ(match({authority("a", root_, "{device}", v1::SUBJECT_SOURCE_DNS_NAME)}, both),
            "chain: authority 'a': the certificate has names of more than one device by '{device}'");
  EXPECT_EQ(match({authority("a", root_, "{device}", v1::SUBJECT_SOURCE_DNS_NAME)}, leaf("cn", "DNS:m1,DNS:m1")),
            "a/m1");
}

TEST_F(LeafMatchTest, WindowOfTheAuthorityCounts) {
  const TimeUs now = now_us();
  auto windowed = authority("a", root_);
  windowed.set_not_before_us(now);
  windowed.set_not_after_us(now + kUsPerSecond);
  const auto certificate = test::make_leaf("meter", root_);
  EXPECT_EQ(match({windowed}, certificate, now), "a/meter");
  EXPECT_EQ(match({windowed}, certificate, now + kUsPerSecond - 1), "a/meter");
  EXPECT_EQ(match({windowed}, certificate, now - 1), "the tenant has no authority that makes devices now");
  EXPECT_EQ(match({windowed}, certificate, now + kUsPerSecond), "the tenant has no authority that makes devices now");
}

TEST_F(LeafMatchTest, FaultIsThatOfTheFirstAuthority) {
  EXPECT_EQ(match({authority("a", root_, "urn:{device}"), authority("b", other_)}, test::make_leaf("meter", root_)),
            "chain: authority 'a': the certificate has no name that fits 'urn:{device}' with a device id");
}

TEST_F(LeafMatchTest, ChainIsBounded) {
  EXPECT_TRUE(check_chain(std::vector<std::string>(8, std::string(4096, 'x'))).ok());
  EXPECT_EQ(check_chain(std::vector<std::string>(8, std::string(4097, 'x'))).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(check_chain(std::vector<std::string>(9)).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(check_chain({}).error().kind, ErrorKind::kInvalid);
}

}  // namespace
}  // namespace millrace::registry
