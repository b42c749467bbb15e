#include <ctime>

#include <gtest/gtest.h>

#include <millrace/credentials/certificate.hpp>

#include "test_certificates.hpp"

namespace millrace::credentials {
namespace {

using test::make_authority;
using test::make_certificate;
using test::make_leaf;

TEST(Certificate, IsReadFromPemAndDer) {
  const auto made = make_authority("meters");
  const auto from_pem = Certificate::from_pem("what openssl x509 -text writes before\n" + made.pem());
  ASSERT_TRUE(from_pem.ok()) << from_pem.error().message;
  EXPECT_EQ(from_pem->der(), made.der());
  EXPECT_EQ(from_pem->fingerprint(), sha256(made.der()));
  const auto from_der = Certificate::from_der(made.der());
  ASSERT_TRUE(from_der.ok());
  EXPECT_EQ(from_der->fingerprint(), from_pem->fingerprint());
}

TEST(Certificate, TimesAreThoseOfTheCertificate) {
  const TimeUs before = now_us();
  const auto certificate =
      Certificate::from_der(make_certificate({.common_name = "m", .from_s = -100, .to_s = 900}).der());
  ASSERT_TRUE(certificate.ok());
  EXPECT_NEAR(static_cast<double>(certificate->not_before_us()), static_cast<double>(before - 100 * kUsPerSecond),
              60e6);
  EXPECT_EQ(certificate->not_after_us() - certificate->not_before_us(), 1000 * kUsPerSecond);
}

TEST(Certificate, PemMustHoldJustOne) {
  const auto one = make_authority("one");
  const auto says = [](const std::string& pem, const char* what) {
    const auto certificate = Certificate::from_pem(pem);
    ASSERT_FALSE(certificate.ok());
    EXPECT_EQ(certificate.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(certificate.error().message.find(what), std::string::npos) << certificate.error().message;
  };
  says(one.pem() + make_authority("two").pem(), "a second one");
  says(one.pem() + one.key_pem(), "a block PRIVATE KEY");
  says(one.key_pem(), "a block PRIVATE KEY");
  says("", "there is no certificate");
  says("hello", "there is no certificate");
  says(one.der(), "there is no certificate");
  says(one.pem().substr(0, one.pem().size() / 2), "broken or without end");
  says("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "not the DER form");
  says(std::string(65537, ' '), "65536");
}

TEST(Certificate, DerMustBeTheWholeOfIt) {
  const std::string der = make_authority("one").der();
  EXPECT_EQ(Certificate::from_der(der + "x").error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(Certificate::from_der("").error().kind, ErrorKind::kInvalid);
  for (std::size_t size = 1; size < der.size(); size += 7) {
    EXPECT_FALSE(Certificate::from_der(der.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(Certificate::from_der(der + std::string(16384, 'x')).ok());
}

TEST(Certificate, OnlyAnAuthorityMaySign) {
  const auto may_sign = [](std::vector<std::pair<int, std::string>> extensions) {
    return Certificate::from_der(make_certificate({.common_name = "x", .extensions = std::move(extensions)}).der())
        ->may_sign();
  };
  EXPECT_TRUE(may_sign({{NID_basic_constraints, "critical,CA:TRUE"}}));
  EXPECT_TRUE(may_sign({{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "keyCertSign"}}));
  EXPECT_FALSE(may_sign({{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "digitalSignature"}}));
  EXPECT_FALSE(may_sign({{NID_basic_constraints, "CA:FALSE"}, {NID_key_usage, "keyCertSign"}}));
  EXPECT_FALSE(may_sign({{NID_key_usage, "keyCertSign"}}));
  EXPECT_FALSE(may_sign({}));
}

TEST(Certificate, NamesOfEachKind) {
  const auto certificate = Certificate::from_der(
      make_certificate(
          {.common_name = "zähler-7",
           .extensions = {{NID_subject_alt_name,
                           "DNS:a.example,URI:urn:meter:7,email:m7@example.org,DNS:b.example,IP:1.2.3.4"}}})
          .der());
  ASSERT_TRUE(certificate.ok());
  using Names = std::vector<std::string>;
  EXPECT_EQ(certificate->names(NameSource::kCommonName), Names{"zähler-7"});
  EXPECT_EQ(certificate->names(NameSource::kDnsName), (Names{"a.example", "b.example"}));
  EXPECT_EQ(certificate->names(NameSource::kUri), Names{"urn:meter:7"});
  EXPECT_EQ(certificate->names(NameSource::kEmail), Names{"m7@example.org"});
  EXPECT_EQ(certificate->subject(), "CN=z\\C3\\A4hler-7");
}

TEST(Certificate, TheIssuerIsTheSignersSubject) {
  const auto authority = make_authority("Fabrik Süd");
  const auto leaf = Certificate::from_der(make_leaf("m-1", authority).der());
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(leaf->subject(), "CN=m-1");
  EXPECT_EQ(leaf->issuer(), Certificate::from_der(authority.der())->subject());
  EXPECT_EQ(leaf->issuer(), "CN=Fabrik S\\C3\\BCd");
}

TEST(Certificate, WithoutAlternativeNamesThereAreNone) {
  const auto certificate = Certificate::from_der(make_authority("one").der());
  EXPECT_TRUE(certificate->names(NameSource::kDnsName).empty());
}

TEST(Certificate, NameWithNulIsLeftOut) {
  const auto certificate =
      Certificate::from_der(make_certificate({.common_name = std::string("meter-7\0.evil", 13)}).der());
  ASSERT_TRUE(certificate.ok());
  EXPECT_TRUE(certificate->names(NameSource::kCommonName).empty());
}

TEST(Certificate, AlternativeNameThatIsNotAsciiIsLeftOut) {
  std::string der =
      make_certificate({.common_name = "m", .extensions = {{NID_subject_alt_name, "DNS:good,DNS:b@d"}}}).der();
  der[der.find("b@d") + 1] = '\xE9';  // Latin-1, where the standard has ASCII alone
  const auto certificate = Certificate::from_der(der);
  ASSERT_TRUE(certificate.ok());
  EXPECT_EQ(certificate->names(NameSource::kDnsName), (std::vector<std::string>{"good"}));
}

TEST(Certificate, NumberOfNamesIsBounded) {
  std::string names = "DNS:n0";
  for (int i = 1; i < 100; ++i) names += ",DNS:n" + std::to_string(i);
  const auto certificate = Certificate::from_der(
      make_certificate({.common_name = "m", .extensions = {{NID_subject_alt_name, names}}}).der());
  ASSERT_TRUE(certificate.ok());
  const auto found = certificate->names(NameSource::kDnsName);
  ASSERT_EQ(found.size(), kMostNames);
  EXPECT_EQ(found.back(), "n31");
}

}  // namespace
}  // namespace millrace::credentials
