// Rules over gRPC: who may, what is taken, and that the topic holds exactly what was answered.
#include "store/rules.hpp"

#include <algorithm>
#include <thread>

#include <millrace/kafka/admin.hpp>
#include <millrace/rules/rule.hpp>

#include "eventually.hpp"
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

namespace wire = millrace::rules::v1;

class Rules : public Registry {
 protected:
  static wire::Rule hot(const std::string& id = "hot") {
    wire::Rule rule;
    rule.set_rule(id);
    rule.set_metric("temperature");
    rule.set_raise("value > 80");
    rule.set_clear("value < 75");
    rule.set_severity(wire::SEVERITY_CRITICAL);
    rule.set_description("too hot");
    rule.set_enabled(true);
    return rule;
  }

  grpc::Status create(const wire::Rule& rule, const std::string& key, wire::Rule* out = nullptr) {
    v1::CreateRuleRequest request;
    *request.mutable_rule() = rule;
    wire::Rule response;
    auto status = call(&Stub::CreateRule, request, response, key);
    if (out != nullptr) *out = response;
    return status;
  }
  grpc::Status update(const wire::Rule& rule, const std::string& key, wire::Rule* out = nullptr) {
    v1::UpdateRuleRequest request;
    *request.mutable_rule() = rule;
    wire::Rule response;
    auto status = call(&Stub::UpdateRule, request, response, key);
    if (out != nullptr) *out = response;
    return status;
  }
  grpc::Status remove(const std::string& id, const std::string& key) {
    v1::DeleteRuleRequest request;
    request.set_rule(id);
    v1::DeleteRuleResponse response;
    return call(&Stub::DeleteRule, request, response, key);
  }
  std::vector<std::string> ids(const std::string& key, int page_size = 0) {
    v1::ListRulesRequest request;
    request.set_page_size(page_size);
    std::vector<std::string> found;
    do {
      v1::ListRulesResponse page;
      const auto status = call(&Stub::ListRules, request, page, key);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& rule : page.rules()) found.push_back(rule.rule());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return found;
  }
};

TEST_F(Rules, WhatIsAnsweredIsWhatTheTopicHolds) {
  wire::Rule created;
  ASSERT_TRUE(create(hot(), operator_, &created).ok());
  EXPECT_EQ(created.tenant(), "acme");
  EXPECT_GT(created.version(), 0);
  wire::Rule shown;
  v1::GetRuleRequest get;
  get.set_rule("hot");
  ASSERT_TRUE(call(&Stub::GetRule, get, shown, viewer_).ok());
  EXPECT_EQ(shown.SerializeAsString(), created.SerializeAsString());
  ASSERT_TRUE(wait_for(topics_.rules(), "acme/hot", [&](const std::string& value) {
    wire::Rule in_topic;
    return in_topic.ParseFromString(value) && in_topic.SerializeAsString() == created.SerializeAsString();
  }));
  const auto decoded = rules::decode(log_of(topics_.rules()).back().value);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->version, created.version());
  // Nothing of it in the other topic.
  for (const auto& entry : log_of(topics_.registry())) EXPECT_EQ(entry.key.find("hot"), std::string::npos) << entry.key;
}

TEST_F(Rules, AnErrorNamesTheFieldAndTheColumn) {
  wire::Rule wrong = hot();
  wrong.set_raise("value > ");
  const auto raise = create(wrong, operator_);
  EXPECT_EQ(raise.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(raise.error_message().find("raise, column 9"), std::string::npos) << raise.error_message();
  wrong = hot();
  wrong.set_clear("value <");
  EXPECT_NE(create(wrong, operator_).error_message().find("clear, column 8"), std::string::npos);
  struct Case {
    const char* says;
    std::function<void(wire::Rule&)> spoil;
  };
  for (const Case& one : std::vector<Case>{{"rule id", [](auto& rule) { rule.set_rule("a/b"); }},
                                           {"severity", [](auto& rule) { rule.clear_severity(); }},
                                           {"severity", [](auto& rule) { rule.set_severity(wire::Severity(9)); }},
                                           {"metric", [](auto& rule) { rule.clear_metric(); }},
                                           {"metric", [](auto& rule) { rule.set_metric(std::string(129, 'm')); }},
                                           {"device_prefix", [](auto& rule) { rule.set_device_prefix("a b"); }},
                                           {"raise is empty", [](auto& rule) { rule.clear_raise(); }},
                                           {"description", [](auto& rule) { rule.set_description("a\nb"); }}}) {
    wire::Rule rule = hot();
    one.spoil(rule);
    const auto status = create(rule, operator_);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << one.says;
    EXPECT_NE(status.error_message().find(one.says), std::string::npos) << status.error_message();
  }
  EXPECT_TRUE(ids(viewer_).empty());
}

TEST_F(Rules, ViewersReadOperatorsChangeAndNobodySeesAnotherTenant) {
  EXPECT_EQ(create(hot(), viewer_).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(create(hot(), operator_).ok());
  EXPECT_EQ(update(hot(), viewer_).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(remove("hot", viewer_).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ids(viewer_), std::vector<std::string>{"hot"});
  EXPECT_TRUE(ids(other_).empty());
  EXPECT_EQ(remove("hot", other_).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::GetRuleRequest get;
  get.set_tenant("acme");
  get.set_rule("hot");
  EXPECT_EQ(code_of(&Stub::GetRule, get, other_), grpc::StatusCode::PERMISSION_DENIED);
  wire::Rule foreign = hot();
  foreign.set_tenant("acme");
  EXPECT_EQ(create(foreign, other_).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  // A platform key names the tenant.
  EXPECT_EQ(create(hot("cold"), platform_).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  foreign.set_rule("cold");
  EXPECT_TRUE(create(foreign, platform_).ok());
  foreign.set_tenant("nobody");
  EXPECT_EQ(create(foreign, platform_).error_code(), grpc::StatusCode::NOT_FOUND);
  // The same id in two tenants is two rules.
  wire::Rule theirs;
  ASSERT_TRUE(create(hot(), other_, &theirs).ok());
  EXPECT_EQ(theirs.tenant(), "other");
}

TEST_F(Rules, VersionsGrowThroughUpdateDeleteAndCreation) {
  wire::Rule first, second, third;
  ASSERT_TRUE(create(hot(), operator_, &first).ok());
  EXPECT_EQ(create(hot(), operator_).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  wire::Rule changed = first;
  changed.set_raise("value > 90");
  ASSERT_TRUE(update(changed, operator_, &second).ok());
  EXPECT_GT(second.version(), first.version());
  EXPECT_EQ(second.raise(), "value > 90");
  // Whoever decided on the first version is told that there is a newer one.
  EXPECT_EQ(update(changed, operator_).error_code(), grpc::StatusCode::ABORTED);
  ASSERT_TRUE(remove("hot", operator_).ok());
  EXPECT_EQ(remove("hot", operator_).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(update(hot(), operator_).error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(wait_for(topics_.rules(), "acme/hot", [](const std::string& value) { return value.empty(); }));
  restart();
  ASSERT_TRUE(create(hot(), operator_, &third).ok());
  EXPECT_GT(third.version(), second.version());
  ASSERT_TRUE(wait_for(topics_.rules(), "acme/hot", [](const std::string& value) { return !value.empty(); }));
  std::vector<std::int64_t> versions;
  for (const auto& entry : log_of(topics_.rules())) {
    const auto rule = rules::decode(entry.value);
    versions.push_back(entry.value.empty() ? 0 : rule->version);
  }
  EXPECT_EQ(versions, (std::vector<std::int64_t>{first.version(), second.version(), 0, third.version()}));
}

TEST_F(Rules, VersionsInTheTopicGrowUnderChangesAtTheSameTime) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        // Losing to another writer (exists already, is gone already) is an answer like any other.
        static_cast<void>(create(hot(), operator_));
        static_cast<void>(update(hot(), operator_));
        static_cast<void>(remove("hot", operator_));
      }
    });
  }
  for (auto& writer : writers) writer.join();
  wire::Rule last;
  ASSERT_TRUE(create(hot("last"), operator_, &last).ok());
  ASSERT_TRUE(wait_for(topics_.rules(), "acme/last", [](const std::string& value) { return !value.empty(); }));
  std::int64_t before = 0;
  int seen = 0;
  for (const auto& entry : log_of(topics_.rules())) {
    if (entry.value.empty()) continue;
    const auto rule = rules::decode(entry.value);
    ASSERT_TRUE(rule.ok());
    EXPECT_GT(rule->version, before);
    before = rule->version;
    ++seen;
  }
  EXPECT_GE(seen, 10);
  EXPECT_EQ(before, last.version());
}

TEST_F(Rules, ListGoesThroughPages) {
  std::vector<std::string> made;
  for (int i = 0; i < 7; ++i) {
    made.push_back("rule-" + std::to_string(i));
    ASSERT_TRUE(create(hot(made.back()), operator_).ok());
  }
  EXPECT_EQ(ids(viewer_, 3), made);
  v1::ListRulesRequest request;
  request.set_page_size(1'001);
  EXPECT_EQ(code_of(&Stub::ListRules, request, viewer_), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Rules, ATenantHasAtMostAThousand) {
  sql("INSERT INTO registry.rule SELECT 'acme', 'r' || n, nextval('registry.rule_version_seq'), 'm' || n, '', 'value > "
      "1', "
      "'',"
      " 1, '', true FROM generate_series(1, " +
      std::to_string(kMostRules - 1) + ") n");
  ASSERT_TRUE(create(hot(), operator_).ok());
  const auto refused = create(hot("one-more"), operator_);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("1000 rules"), std::string::npos) << refused.error_message();
  EXPECT_TRUE(create(hot(), other_).ok());
}

TEST_F(Rules, AMetricHasAtMostFifty) {
  const std::string metric = hot().metric();
  sql("INSERT INTO registry.rule SELECT 'acme', 'r' || n, nextval('registry.rule_version_seq'), '" + metric +
      "', '', 'value > 1', '', 1, '', true FROM generate_series(1, " + std::to_string(kMostRulesOfMetric - 1) + ") n");
  ASSERT_TRUE(create(hot(), operator_).ok());
  const auto refused = create(hot("one-more"), operator_);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("50 rules"), std::string::npos) << refused.error_message();
  EXPECT_TRUE(create(hot("one-more"), other_).ok());
}

TEST_F(Rules, ATenantsIdIsNotGivenAgain) {
  v1::DeleteTenantRequest request;
  request.set_tenant("acme");
  ASSERT_EQ(code_of(&Stub::DeleteTenant, request, platform_), grpc::StatusCode::OK);
  v1::CreateTenantRequest again;
  again.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::CreateTenant, again, platform_), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(Rules, DeletingATenantEndsItsRules) {
  ASSERT_TRUE(create(hot(), operator_).ok());
  ASSERT_TRUE(create(hot("cold"), operator_).ok());
  ASSERT_TRUE(create(hot(), other_).ok());
  v1::DeleteTenantRequest request;
  request.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::DeleteTenant, request, platform_), grpc::StatusCode::OK);
  const auto gone = [](const std::string& value) { return value.empty(); };
  EXPECT_TRUE(wait_for(topics_.rules(), "acme/hot", gone));
  EXPECT_TRUE(wait_for(topics_.rules(), "acme/cold", gone));
  EXPECT_TRUE(wait_for(topics_.registry(), "tenant/acme", gone));
  EXPECT_TRUE(wait_for(topics_.rules(), "other/hot", [](const std::string& value) { return !value.empty(); }));
  EXPECT_EQ(ids(other_), std::vector<std::string>{"hot"});
}

TEST_F(Rules, ATopicThatIsGoneHoldsBackItsOwnChangesOnly) {
  kafka::Admin admin(kafka_);
  const std::vector<std::string> names{topics_.rules()};
  ASSERT_TRUE(admin.delete_topics(names, std::chrono::seconds(60)).ok());
  ASSERT_TRUE(testing::eventually([&] { return !admin.partitions(topics_.rules(), std::chrono::seconds(10)).ok(); }));
  ASSERT_TRUE(create(hot(), operator_).ok());
  v1::DeleteApiKeyRequest revoke;
  revoke.set_key_id(viewer_.substr(3, viewer_.find('_', 3) - 3));
  ASSERT_EQ(code_of(&Stub::DeleteApiKey, revoke, admin_), grpc::StatusCode::OK);
  EXPECT_TRUE(wait_for(topics_.registry(), "key/" + revoke.key_id(), [](const std::string& v) { return v.empty(); }));
  // Once the topic is there the rule comes.
  const auto wanted = kafka::wanted_topics(topics_, {.telemetry_partitions = 1, .replication = 1});
  ASSERT_TRUE(admin.create_missing(wanted, std::chrono::seconds(60)).ok());
  EXPECT_TRUE(wait_for(topics_.rules(), "acme/hot", [](const std::string& value) { return !value.empty(); }));
}

}  // namespace
}  // namespace millrace::registry
