#include <gtest/gtest.h>

#include "decode.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "test_certificates.hpp"

namespace millrace::registry_view {
namespace {

using registry::v1::Entry;

constexpr const char* kPhc =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

std::string digest_of(const char* text) { return std::string(bytes_of(sha256(text))); }

std::string authority_der(const char* name) { return test::make_authority(name).der(); }

class GrantBookTest : public ::testing::Test {
 protected:
  GrantBookTest() {
    state_.on_revocation([this](const Revocation& revocation) { told_.push_back(revocation); });
  }

  void put(const std::string& key, const Entry& entry) {
    const Status status = apply(state_, key, entry.SerializeAsString());
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  void refuse(const std::string& key, const Entry& entry) {
    EXPECT_FALSE(apply(state_, key, entry.SerializeAsString()).ok()) << entry.ShortDebugString();
  }
  static Entry device(const char* name) {
    Entry entry;
    entry.mutable_credentials()->set_tenant("acme");
    entry.mutable_credentials()->set_device(name);
    return entry;
  }
  static Entry with_all() {
    Entry entry = device("m-1");
    auto* credentials = entry.mutable_credentials();
    auto* token = credentials->add_credentials();
    token->set_credential_id("c1");
    token->set_token_sha256(digest_of("mt_timed"));
    token->set_not_before_us(100);
    token->set_not_after_us(200);
    auto* password = credentials->add_credentials();
    password->set_credential_id("c2");
    password->set_password_phc(kPhc);
    auto* certificate = credentials->add_credentials();
    certificate->set_credential_id("c3");
    certificate->set_certificate_sha256(digest_of("leaf"));
    credentials->add_children("child-1");
    credentials->add_children("meter-*");
    auto* rule = credentials->add_topics();
    rule->set_filter("plant/{device}/#");
    rule->set_publish(true);
    return entry;
  }
  static Entry authority(const std::string& der, const char* name = "factory") {
    Entry entry;
    auto* authority = entry.mutable_authority();
    authority->set_tenant("acme");
    authority->set_authority(name);
    authority->set_certificate(der);
    authority->set_source(registry::v1::SUBJECT_SOURCE_COMMON_NAME);
    authority->set_pattern("urn:{device}");
    authority->set_enabled(true);
    return entry;
  }
  static Entry policy() {
    Entry entry;
    entry.mutable_policy()->set_tenant("acme");
    entry.mutable_policy()->set_receipts(true);
    entry.mutable_policy()->set_ack_level(registry::v1::ACK_LEVEL_STORED);
    auto* rule = entry.mutable_policy()->add_device_topics();
    rule->set_filter("plant/#");
    rule->set_subscribe(true);
    return entry;
  }
  [[nodiscard]] const GrantBook& book() const { return state_.grants(); }
  [[nodiscard]] std::vector<Holder> tokens(const char* token) const {
    return book().holders(sha256(token), CredentialKind::kToken);
  }

  State state_;
  std::vector<Revocation> told_;
};

TEST_F(GrantBookTest, NobodyHasAnythingAtFirst) {
  EXPECT_EQ(book().grants("acme", "m-1"), nullptr);
  EXPECT_EQ(book().policy("acme"), nullptr);
  EXPECT_EQ(book().authority("acme", "factory"), nullptr);
  EXPECT_TRUE(tokens("mt_timed").empty());
  EXPECT_NE(book().generation(), 0U);
}

TEST_F(GrantBookTest, ADeviceHasWhatItsEntrySays) {
  const auto before = book().generation();
  put("credentials/acme/m-1", with_all());
  EXPECT_NE(book().generation(), before);
  const auto grants = book().grants("acme", "m-1");
  ASSERT_NE(grants, nullptr);
  ASSERT_EQ(grants->credentials.size(), 3U);
  EXPECT_EQ(grants->credentials[0].window, (Window{100, 200}));
  EXPECT_EQ(grants->credentials[1].phc, kPhc);
  EXPECT_EQ(grants->credentials[1].digest, sha256(kPhc));
  EXPECT_EQ(grants->children, (std::vector<std::string>{"child-1", "meter-*"}));
  EXPECT_EQ(grants->topics.at(0).filter, "plant/{device}/#");
  EXPECT_TRUE(grants->topics.at(0).publish);
  EXPECT_FALSE(grants->topics.at(0).subscribe);
  EXPECT_EQ(book().devices(), 1U);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].kind, Revocation::Kind::kGrants);
  EXPECT_EQ(told_[0].device, "m-1");
}

TEST_F(GrantBookTest, TokensAndCertificatesLeadToTheirDevices) {
  put("credentials/acme/m-1", with_all());
  ASSERT_EQ(tokens("mt_timed").size(), 1U);
  EXPECT_EQ(tokens("mt_timed")[0].device, "m-1");
  EXPECT_EQ(tokens("mt_timed")[0].credential.id, "c1");
  EXPECT_TRUE(tokens("leaf").empty()) << "a certificate's digest is no token's";
  EXPECT_EQ(book().holders(sha256("leaf"), CredentialKind::kCertificate).at(0).credential.id, "c3");
  EXPECT_TRUE(book().holders(sha256(kPhc), CredentialKind::kPassword).empty()) << "nobody shows a hash";
}

TEST_F(GrantBookTest, OneCertificateOfTwoDevicesHasTwoHolders) {
  put("credentials/acme/m-1", with_all());
  Entry other = device("m-2");
  auto* certificate = other.mutable_credentials()->add_credentials();
  certificate->set_credential_id("c1");
  certificate->set_certificate_sha256(digest_of("leaf"));
  put("credentials/acme/m-2", other);
  EXPECT_EQ(book().holders(sha256("leaf"), CredentialKind::kCertificate).size(), 2U);
}

TEST_F(GrantBookTest, ANewEntryReplacesTheOldOne) {
  put("credentials/acme/m-1", with_all());
  put("credentials/acme/m-1", device("m-1"));
  EXPECT_TRUE(tokens("mt_timed").empty());
  EXPECT_TRUE(book().grants("acme", "m-1")->credentials.empty());
  ASSERT_TRUE(apply(state_, "credentials/acme/m-1", std::nullopt).ok());
  EXPECT_EQ(book().grants("acme", "m-1"), nullptr);
  EXPECT_EQ(book().devices(), 0U);
  EXPECT_EQ(told_.size(), 3U);
}

TEST_F(GrantBookTest, AuthoritiesAreFoundByTheirSubject) {
  const std::string der = authority_der("Factory");
  put("authority/acme/factory", authority(der));
  Entry other = authority(der);
  other.mutable_authority()->set_tenant("globex");
  put("authority/globex/factory", other);
  EXPECT_EQ(book().authorities("", "CN=Factory").size(), 2U);
  ASSERT_EQ(book().authorities("acme", "CN=Factory").size(), 1U);
  EXPECT_EQ(book().authorities("acme", "CN=Factory")[0]->pattern, "urn:{device}");
  EXPECT_TRUE(book().authorities("acme", "CN=Other").empty());
  put("authority/acme/factory", authority(authority_der("Second")));
  EXPECT_TRUE(book().authorities("acme", "CN=Factory").empty());
  EXPECT_EQ(book().authorities(), 2U);
  ASSERT_TRUE(apply(state_, "authority/acme/factory", std::nullopt).ok());
  EXPECT_TRUE(book().authorities("acme", "CN=Second").empty());
  EXPECT_EQ(told_.back().kind, Revocation::Kind::kTenantGrants);
}

TEST_F(GrantBookTest, ATenantHasItsPolicyUntilTheTombstone) {
  put("policy/acme", policy());
  ASSERT_NE(book().policy("acme"), nullptr);
  EXPECT_TRUE(book().policy("acme")->receipts);
  EXPECT_TRUE(book().policy("acme")->answers_when_stored);
  EXPECT_EQ(book().policy("acme")->device_topics.at(0).filter, "plant/#");
  ASSERT_TRUE(apply(state_, "policy/acme", std::nullopt).ok());
  EXPECT_EQ(book().policy("acme"), nullptr);
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[1].tenant, "acme");
  EXPECT_EQ(told_[1].device, "");
}

TEST_F(GrantBookTest, ASecondReadingForgetsWhatItDoesNotName) {
  put("credentials/acme/m-1", with_all());
  put("credentials/acme/m-2", device("m-2"));
  put("authority/acme/factory", authority(authority_der("Factory")));
  put("policy/acme", policy());
  told_.clear();
  state_.begin_reload();
  put("credentials/acme/m-2", device("m-2"));
  put("policy/acme", policy());
  told_.clear();
  state_.end_reload();
  EXPECT_EQ(book().grants("acme", "m-1"), nullptr);
  EXPECT_TRUE(tokens("mt_timed").empty());
  EXPECT_NE(book().grants("acme", "m-2"), nullptr);
  EXPECT_EQ(book().authorities(), 0U);
  EXPECT_NE(book().policy("acme"), nullptr) << "it was named";
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[0].device, "m-1");
  EXPECT_EQ(told_[1].kind, Revocation::Kind::kTenantGrants);
}

TEST_F(GrantBookTest, EntriesThatMakeNoSenseChangeNothing) {
  put("credentials/acme/m-1", with_all());
  refuse("credentials/acme/m-2", with_all());
  const auto spoil = [&](auto change) {
    Entry entry = with_all();
    change(*entry.mutable_credentials());
    refuse("credentials/acme/m-1", entry);
  };
  using Credentials = registry::v1::CredentialsEntry;
  spoil([](Credentials& entry) { entry.mutable_credentials(0)->set_token_sha256("short"); });
  spoil([](Credentials& entry) { entry.mutable_credentials(0)->clear_proof(); });
  spoil([](Credentials& entry) { entry.mutable_credentials(0)->clear_credential_id(); });
  spoil([](Credentials& entry) { entry.mutable_credentials(0)->set_not_after_us(100); });
  spoil([](Credentials& entry) {
    entry.mutable_credentials(1)->set_password_phc("$argon2id$v=19$m=9999999,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMw");
  });
  spoil([](Credentials& entry) { entry.add_children("a/b"); });
  spoil([](Credentials& entry) { entry.add_children("*a*"); });
  spoil([](Credentials& entry) { entry.add_topics()->set_filter("a/#/b"); });
  spoil([](Credentials& entry) {
    for (int i = 0; i < 64; ++i) entry.add_children("more");
  });
  EXPECT_EQ(tokens("mt_timed").size(), 1U);
}

TEST_F(GrantBookTest, AuthoritiesThatMakeNoSenseAreRefused) {
  const std::string der = authority_der("Factory");
  refuse("authority/acme/other", authority(der));
  refuse("authority/acme/factory", authority("no certificate"));
  Entry entry = authority(der);
  entry.mutable_authority()->set_pattern("no device");
  refuse("authority/acme/factory", entry);
  entry = authority(der);
  entry.mutable_authority()->clear_source();
  refuse("authority/acme/factory", entry);
  entry = authority(der);
  entry.mutable_authority()->set_not_before_us(5);
  entry.mutable_authority()->set_not_after_us(5);
  refuse("authority/acme/factory", entry);
  EXPECT_EQ(book().authorities(), 0U);
  Entry other = policy();
  refuse("policy/globex", other);
  other.mutable_policy()->mutable_device_topics(0)->set_filter("");
  refuse("policy/acme", other);
}

}  // namespace
}  // namespace millrace::registry_view
