// Certificate authorities and policies of tenants over gRPC.
#include <millrace/base/time.hpp>

#include "registry_fixture.hpp"
#include "test_certificates.hpp"

namespace millrace::registry {
namespace {

class Authorities : public Registry {
 protected:
  v1::SetAuthorityRequest request(const std::string& name = "meters") {
    v1::SetAuthorityRequest made;
    made.mutable_authority()->set_authority(name);
    made.mutable_authority()->set_source(v1::SUBJECT_SOURCE_COMMON_NAME);
    made.mutable_authority()->set_pattern("{device}");
    made.mutable_authority()->set_enabled(true);
    made.set_certificate_pem(root_.pem());
    return made;
  }
  std::string set(const v1::SetAuthorityRequest& wanted, const std::string& key) {
    return said(&Stub::SetAuthority, wanted, key);
  }
  v1::ListAuthoritiesResponse list(const std::string& key) {
    v1::ListAuthoritiesResponse response;
    EXPECT_EQ(text_of(call(&Stub::ListAuthorities, v1::ListAuthoritiesRequest{}, response, key)), "OK");
    return response;
  }
  std::string remove(const std::string& name, const std::string& key) {
    v1::DeleteAuthorityRequest wanted;
    wanted.set_authority(name);
    return said(&Stub::DeleteAuthority, wanted, key);
  }
  std::string set_policy(const v1::PolicyEntry& policy, const std::string& key) {
    v1::SetPolicyRequest wanted;
    *wanted.mutable_policy() = policy;
    return said(&Stub::SetPolicy, wanted, key);
  }
  static v1::PolicyEntry policy(const std::string& filter) {
    v1::PolicyEntry made;
    v1::TopicRule& rule = *made.add_device_topics();
    rule.set_filter(filter);
    rule.set_subscribe(true);
    return made;
  }
  void delete_acme() {
    v1::DeleteTenantRequest wanted;
    wanted.set_tenant("acme");
    EXPECT_EQ(said(&Stub::DeleteTenant, wanted, platform_), "OK");
  }

  const test::TestCertificate root_ = test::make_authority("root");
};

TEST_F(Authorities, AreSetReplacedListedAndDeleted) {
  auto wanted = request();
  wanted.mutable_authority()->set_provisions(true);
  wanted.mutable_authority()->set_most_provisioned(10);
  wanted.mutable_authority()->set_certificate("whatever the caller writes here");
  v1::AuthorityEntry answer;
  ASSERT_EQ(text_of(call(&Stub::SetAuthority, wanted, answer, admin_)), "OK");
  EXPECT_EQ(answer.tenant(), "acme");
  EXPECT_EQ(answer.certificate(), root_.der());
  EXPECT_EQ(published("authority/acme/meters").authority().SerializeAsString(), answer.SerializeAsString());

  const auto second = test::make_authority("second");
  wanted = request();
  wanted.set_certificate_pem(second.pem());
  wanted.mutable_authority()->set_source(v1::SUBJECT_SOURCE_URI);
  wanted.mutable_authority()->set_pattern("urn:meter:{device}");
  ASSERT_EQ(set(wanted, admin_), "OK");
  ASSERT_EQ(set(request("another"), admin_), "OK");
  const auto all = list(viewer_);
  ASSERT_EQ(all.authorities_size(), 2);
  EXPECT_EQ(all.authorities(0).authority(), "another");
  EXPECT_EQ(all.authorities(1).certificate(), second.der());
  EXPECT_EQ(all.authorities(1).most_provisioned(), 0U);
  EXPECT_EQ(published("authority/acme/meters").authority().pattern(), "urn:meter:{device}");

  EXPECT_EQ(remove("meters", admin_), "OK");
  EXPECT_FALSE(published("authority/acme/meters").has_authority());
  EXPECT_EQ(remove("meters", admin_), "NOT_FOUND: there is no authority 'meters' in tenant acme");
  EXPECT_EQ(list(viewer_).authorities_size(), 1);
}

TEST_F(Authorities, WhatIsWrongIsNamed) {
  const auto refused = [&](const std::function<void(v1::SetAuthorityRequest&)>& spoil) {
    auto wanted = request();
    spoil(wanted);
    return set(wanted, admin_);
  };
  const auto pem = [&](const test::TestCertificate& certificate) {
    return refused([&](auto& wanted) { wanted.set_certificate_pem(certificate.pem()); });
  };
  EXPECT_TRUE(refused([](auto& wanted) {
                wanted.set_certificate_pem("");
              }).starts_with("INVALID_ARGUMENT: certificate_pem: there is no certificate"));
  EXPECT_TRUE(pem(test::make_leaf("leaf", root_))
                  .starts_with("INVALID_ARGUMENT: certificate_pem: this certificate may not sign others"));
  const auto over = test::make_certificate({.common_name = "old",
                                            .extensions = {{NID_basic_constraints, "critical,CA:TRUE"}},
                                            .from_s = -200,
                                            .to_s = -100});
  EXPECT_TRUE(pem(over).starts_with("INVALID_ARGUMENT: certificate_pem: this certificate is not valid any more since"));
  EXPECT_EQ(refused([](auto& wanted) { wanted.mutable_authority()->set_authority("a/b"); }),
            "INVALID_ARGUMENT: authority.authority must be 1 to 64 of A-Za-z0-9._:- and not start with '.'");
  EXPECT_EQ(refused([](auto& wanted) { wanted.mutable_authority()->clear_source(); }),
            "INVALID_ARGUMENT: authority.source must be common name, DNS name, URI or e-mail");
  EXPECT_TRUE(refused([](auto& wanted) {
                wanted.mutable_authority()->set_pattern("meter");
              }).starts_with("INVALID_ARGUMENT: authority.pattern: a pattern must have {device} once"));
  EXPECT_TRUE(refused([](auto& wanted) {
                wanted.mutable_authority()->set_most_provisioned(5);
              }).starts_with("INVALID_ARGUMENT: authority.most_provisioned"));
  EXPECT_EQ(refused([](auto& wanted) { wanted.mutable_authority()->set_not_after_us(1); }),
            "INVALID_ARGUMENT: authority.not_after_us has passed already");
  EXPECT_EQ(refused([](auto& wanted) { wanted.mutable_authority()->set_not_before_us(-1); }),
            "INVALID_ARGUMENT: authority.not_before_us is negative");
  EXPECT_TRUE(list(viewer_).authorities().empty());
}

TEST_F(Authorities, NumberOfThemIsBounded) {
  for (int i = 0; i < 64; ++i) ASSERT_EQ(set(request("a" + std::to_string(i)), admin_), "OK");
  EXPECT_EQ(set(request("one-more"), admin_), "RESOURCE_EXHAUSTED: a tenant has at most 64 authorities");
  EXPECT_EQ(set(request("a7"), admin_), "OK") << "one that is there can be replaced";
}

TEST_F(Authorities, RolesAndTenants) {
  EXPECT_EQ(set(request(), operator_).substr(0, 18), "PERMISSION_DENIED:");
  ASSERT_EQ(set(request(), admin_), "OK");
  EXPECT_EQ(remove("meters", operator_).substr(0, 18), "PERMISSION_DENIED:");
  EXPECT_EQ(remove("meters", other_), "NOT_FOUND: there is no authority 'meters' in tenant other");
  EXPECT_TRUE(list(other_).authorities().empty());
  auto foreign = request();
  foreign.mutable_authority()->set_tenant("acme");
  EXPECT_EQ(set(foreign, other_).substr(0, 18), "PERMISSION_DENIED:");
  EXPECT_EQ(set(foreign, platform_), "OK");
  foreign.mutable_authority()->set_tenant("nobody");
  EXPECT_EQ(set(foreign, platform_), "NOT_FOUND: there is no tenant 'nobody'");
  v1::ListAuthoritiesRequest nobody;
  nobody.set_tenant("nobody");
  EXPECT_EQ(code_of(&Stub::ListAuthorities, nobody, platform_), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Authorities, PolicyIsReplacedAsAWhole) {
  v1::PolicyEntry now;
  ASSERT_EQ(text_of(call(&Stub::GetPolicy, v1::GetPolicyRequest{}, now, viewer_)), "OK");
  EXPECT_EQ(now.tenant(), "acme");
  EXPECT_TRUE(now.device_topics().empty());
  auto wanted = policy("news/{device}");
  wanted.set_receipts(true);
  ASSERT_EQ(set_policy(wanted, admin_), "OK");
  EXPECT_EQ(published("policy/acme").policy().device_topics(0).filter(), "news/{device}");
  EXPECT_TRUE(published("policy/acme").policy().receipts());
  EXPECT_EQ(published("policy/acme").policy().tenant(), "acme");
  ASSERT_EQ(text_of(call(&Stub::GetPolicy, v1::GetPolicyRequest{}, now, viewer_)), "OK");
  EXPECT_EQ(now.device_topics_size(), 1);
  EXPECT_EQ(set_policy(policy("a/#/b"), admin_).substr(0, 57),
            "INVALID_ARGUMENT: policy.device_topics[0].filter is no to");
  wanted.clear_device_topics();
  ASSERT_EQ(set_policy(wanted, admin_), "OK");
  EXPECT_TRUE(published("policy/acme").policy().receipts());
  ASSERT_EQ(set_policy({}, admin_), "OK");
  EXPECT_FALSE(published("policy/acme").has_policy());
}

TEST_F(Authorities, PolicyIsAnAdminsAndTheTenantsOwn) {
  EXPECT_EQ(set_policy(policy("a"), operator_).substr(0, 18), "PERMISSION_DENIED:");
  ASSERT_EQ(set_policy(policy("a"), other_), "OK");
  v1::PolicyEntry ours;
  ASSERT_EQ(text_of(call(&Stub::GetPolicy, v1::GetPolicyRequest{}, ours, viewer_)), "OK");
  EXPECT_TRUE(ours.device_topics().empty());
  auto foreign = policy("a");
  foreign.set_tenant("acme");
  EXPECT_EQ(set_policy(foreign, other_).substr(0, 18), "PERMISSION_DENIED:");
  foreign.set_tenant("nobody");
  EXPECT_EQ(set_policy(foreign, platform_), "NOT_FOUND: there is no tenant 'nobody'");
}

TEST_F(Authorities, GoWithTheirTenantAsDoesThePolicy) {
  ASSERT_EQ(set(request(), admin_), "OK");
  ASSERT_EQ(set(request("second"), admin_), "OK");
  ASSERT_EQ(set_policy(policy("a"), admin_), "OK");
  ASSERT_TRUE(published("policy/acme").has_policy());
  delete_acme();
  EXPECT_FALSE(published("policy/acme").has_policy());
  EXPECT_FALSE(published("authority/acme/meters").has_authority());
  EXPECT_FALSE(published("authority/acme/second").has_authority());
  EXPECT_FALSE(published("tenant/acme").has_tenant());
}

}  // namespace
}  // namespace millrace::registry
