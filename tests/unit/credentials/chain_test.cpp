#include <gtest/gtest.h>

#include <millrace/credentials/certificate.hpp>

#include "test_certificates.hpp"

namespace millrace::credentials {
namespace {

using test::CertificateWish;
using test::make_authority;
using test::make_certificate;
using test::make_leaf;
using test::TestCertificate;

Certificate read(const TestCertificate& made) { return Certificate::from_der(made.der()).value(); }

class ChainTest : public ::testing::Test {
 protected:
  // What verify_chain() says of `chain`; empty: it stands.
  [[nodiscard]] std::string fault(const std::vector<TestCertificate>& chain, const TestCertificate& authority,
                                  TimeUs now = now_us()) const {
    std::vector<std::string> der;
    for (const TestCertificate& one : chain) der.push_back(one.der());
    const Status status = verify_chain(der, read(authority), now);
    if (status.ok()) return "";
    EXPECT_EQ(status.error().kind, ErrorKind::kUnauthenticated);
    return status.error().message;
  }
  [[nodiscard]] TestCertificate leaf(std::vector<std::pair<int, std::string>> extensions) const {
    return make_certificate({.common_name = "m", .extensions = std::move(extensions)}, &middle_);
  }

  const TestCertificate root_ = make_authority("root");
  const TestCertificate middle_ = make_authority("middle", &root_);
  const TestCertificate leaf_ = make_leaf("meter-7", middle_);
  const TestCertificate other_ = make_authority("other");
};

TEST_F(ChainTest, LeafOfTheAuthorityStands) {
  EXPECT_EQ(fault({make_leaf("m", root_)}, root_), "");
  EXPECT_EQ(fault({leaf_, middle_}, root_), "");
  EXPECT_EQ(fault({leaf_, middle_, root_}, root_), "") << "the anchor may come along";
  EXPECT_EQ(fault({leaf_, other_, middle_}, root_), "") << "what is not needed does not matter";
}

TEST_F(ChainTest, IntermediateMayBeTheAnchor) {
  EXPECT_EQ(fault({leaf_}, middle_), "");
  EXPECT_EQ(fault({leaf_, middle_, root_}, middle_), "");
}

TEST_F(ChainTest, LeafOfAnotherAuthorityIsRefused) {
  EXPECT_EQ(fault({leaf_, middle_}, other_),
            "certificate 'CN=middle' was not issued under 'CN=other', or an intermediate certificate is missing");
  EXPECT_NE(fault({leaf_, middle_, root_}, other_).find("was not issued under"), std::string::npos);
  EXPECT_NE(fault({leaf_}, root_).find("an intermediate certificate is missing"), std::string::npos);
  EXPECT_NE(fault({make_certificate({.common_name = "self"})}, root_).find("was not issued under"), std::string::npos);
}

TEST_F(ChainTest, AuthorityOfTheSameNameIsNotTheSame) {
  const TestCertificate twin = make_authority("root");
  EXPECT_NE(fault({make_leaf("m", twin)}, root_), "");
}

TEST_F(ChainTest, TimeOfEveryCertificateCounts) {
  const TimeUs hours = 3600 * kUsPerSecond;
  EXPECT_EQ(fault({leaf_, middle_}, root_, now_us() + 2 * hours), "certificate 'CN=root' is not valid any more");
  EXPECT_EQ(fault({leaf_, middle_}, root_, now_us() - 2 * hours), "certificate 'CN=root' is not valid yet");
  const auto expired = make_certificate({.common_name = "old", .from_s = -200, .to_s = -100}, &root_);
  EXPECT_EQ(fault({expired}, root_), "certificate 'CN=old' is not valid any more");
  EXPECT_EQ(fault({expired}, root_, now_us() - 150 * kUsPerSecond), "");
  const auto early = make_certificate({.common_name = "new", .from_s = 100, .to_s = 200}, &root_);
  EXPECT_EQ(fault({early}, root_), "certificate 'CN=new' is not valid yet");
}

TEST_F(ChainTest, LeafMustBeAClients) {
  EXPECT_EQ(fault({leaf({{NID_ext_key_usage, "clientAuth"}})}, middle_), "");
  EXPECT_EQ(fault({leaf({{NID_ext_key_usage, "serverAuth,clientAuth"}})}, middle_), "");
  EXPECT_EQ(fault({leaf({{NID_ext_key_usage, "serverAuth"}})}, middle_),
            "certificate 'CN=m' is not meant for TLS clients (its key usage)");
  EXPECT_NE(fault({leaf({{NID_key_usage, "critical,keyEncipherment"}})}, middle_).find("not meant for TLS clients"),
            std::string::npos);
}

TEST_F(ChainTest, AuthorityItselfIsNoDevice) {
  EXPECT_EQ(fault({root_}, root_), "certificate 'CN=root' is an authority's, not a device's");
  EXPECT_EQ(fault({middle_}, root_), "certificate 'CN=middle' is an authority's, not a device's");
}

TEST_F(ChainTest, LeafCannotIssue) { EXPECT_NE(fault({make_leaf("below", leaf_), leaf_, middle_}, root_), ""); }

TEST_F(ChainTest, WeakKeysAreRefused) {
  const auto weak = make_certificate({.common_name = "weak", .rsa_bits = 1024}, &root_);
  EXPECT_NE(fault({weak}, root_).find("certificate 'CN=weak' does not stand"), std::string::npos)
      << fault({weak}, root_);
  EXPECT_EQ(fault({make_certificate({.common_name = "good", .rsa_bits = 2048}, &root_)}, root_), "");
}

TEST_F(ChainTest, CriticalExtensionThatIsNotUnderstoodIsRefused) {
  EXPECT_EQ(fault({leaf({{NID_tlsfeature, "status_request"}})}, middle_), "");
  EXPECT_NE(fault({leaf({{NID_tlsfeature, "critical,status_request"}})}, middle_).find("does not stand"),
            std::string::npos);
}

TEST_F(ChainTest, SignatureIsLookedAt) {
  std::string forged = leaf_.der();
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_FALSE(verify_chain({forged}, read(middle_), now_us()).ok());
}

TEST_F(ChainTest, LengthIsBounded) {
  EXPECT_EQ(fault({}, root_), "there is no certificate");
  EXPECT_EQ(fault(std::vector(9, leaf_), root_), "a chain may have 8 certificates");
  EXPECT_EQ(verify_chain({leaf_.der(), "garbage"}, read(root_), now_us()).error().message,
            "certificate 2: it is not the DER form of one certificate");
}

TEST_F(ChainTest, LongSubjectIsCutInTheSentence) {
  const auto chatty = make_certificate({.common_name = std::string(64, '\n')}, &other_);
  const std::string sentence = fault({chatty}, root_);
  EXPECT_LT(sentence.size(), 400U);
  EXPECT_EQ(sentence.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace millrace::credentials
