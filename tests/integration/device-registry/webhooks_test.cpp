// Webhooks over gRPC: who may, and that the secret is shown once and reaches the topic.
#include <millrace/base/digest.hpp>

#include "millrace/registry/v1/entry.pb.h"
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

constexpr const char* kUrl = "https://hooks.example/path-secret-4711";

class Webhooks : public Registry {
 protected:
  grpc::Status set(const std::string& url, const std::string& key, v1::SetWebhookResponse& response) {
    v1::SetWebhookRequest request;
    request.set_url(url);
    return call(&Stub::SetWebhook, request, response, key);
  }
  grpc::StatusCode get(const std::string& key, v1::Webhook& response) {
    return call(&Stub::GetWebhook, v1::GetWebhookRequest{}, response, key).error_code();
  }
  grpc::StatusCode remove(const std::string& key) {
    return code_of(&Stub::DeleteWebhook, v1::DeleteWebhookRequest{}, key);
  }
  bool topic_has(const std::string& tenant, const v1::SetWebhookResponse& set) {
    return wait_for(topics_.registry(), "webhook/" + tenant, [&](const std::string& value) {
      v1::Entry entry;
      return entry.ParseFromString(value) && entry.webhook().tenant() == tenant && entry.revision() > 0 &&
             entry.webhook().url() == set.webhook().url() && entry.webhook().secret() == set.secret();
    });
  }
};

TEST_F(Webhooks, TheSecretIsShownOnceAndReachesTheTopic) {
  v1::SetWebhookResponse first;
  ASSERT_TRUE(set(kUrl, admin_, first).ok());
  EXPECT_EQ(first.secret().size(), 4U + 64U);
  EXPECT_TRUE(first.secret().starts_with("whs_") && from_hex(first.secret().substr(4)).ok()) << first.secret();
  EXPECT_EQ(first.webhook().tenant(), "acme");
  EXPECT_GT(first.webhook().created_at_us(), 0);
  ASSERT_TRUE(topic_has("acme", first));
  v1::Webhook shown;
  ASSERT_EQ(get(operator_, shown), grpc::StatusCode::OK);
  EXPECT_EQ(shown.url(), kUrl);
  EXPECT_EQ(shown.SerializeAsString().find(first.secret()), std::string::npos);
  // Setting it again draws another secret.
  v1::SetWebhookResponse second;
  ASSERT_TRUE(set("http://other.example/", admin_, second).ok());
  EXPECT_NE(second.secret(), first.secret());
  EXPECT_TRUE(topic_has("acme", second));
  ASSERT_EQ(remove(admin_), grpc::StatusCode::OK);
  EXPECT_TRUE(wait_for(topics_.registry(), "webhook/acme", [](const std::string& value) { return value.empty(); }));
  EXPECT_EQ(get(operator_, shown), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(remove(admin_), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Webhooks, AdminsChangeOperatorsReadAndTenantsAreSeparated) {
  v1::SetWebhookResponse ours, theirs;
  EXPECT_EQ(set(kUrl, operator_, ours).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(set(kUrl, admin_, ours).ok());
  v1::Webhook shown;
  EXPECT_EQ(get(viewer_, shown), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(get(operator_, shown), grpc::StatusCode::OK);
  EXPECT_EQ(remove(operator_), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(get(other_, shown), grpc::StatusCode::NOT_FOUND);
  v1::GetWebhookRequest foreign;
  foreign.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::GetWebhook, foreign, other_), grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(set("http://theirs.example/", other_, theirs).ok());
  EXPECT_EQ(remove(other_), grpc::StatusCode::OK);
  ASSERT_EQ(get(operator_, shown), grpc::StatusCode::OK);
  EXPECT_EQ(shown.url(), kUrl);
  v1::SetWebhookRequest nobody;
  nobody.set_tenant("nobody");
  nobody.set_url(kUrl);
  EXPECT_EQ(code_of(&Stub::SetWebhook, nobody, platform_), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Webhooks, AUrlThatCannotBeSentToIsRefused) {
  v1::SetWebhookResponse response;
  for (const char* url : {"", "ftp://example.com", "http://user@example.com/", "http://example.com/\n"}) {
    EXPECT_EQ(set(url, admin_, response).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << url;
  }
  v1::Webhook shown;
  EXPECT_EQ(get(operator_, shown), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Webhooks, DeletingATenantDeletesItsWebhook) {
  v1::SetWebhookResponse response;
  ASSERT_TRUE(set(kUrl, admin_, response).ok());
  ASSERT_TRUE(topic_has("acme", response));
  v1::DeleteTenantRequest request;
  request.set_tenant("acme");
  ASSERT_EQ(code_of(&Stub::DeleteTenant, request, platform_), grpc::StatusCode::OK);
  EXPECT_TRUE(wait_for(topics_.registry(), "webhook/acme", [](const std::string& value) { return value.empty(); }));
  EXPECT_TRUE(wait_for(topics_.registry(), "tenant/acme", [](const std::string& value) { return value.empty(); }));
}

}  // namespace
}  // namespace millrace::registry
