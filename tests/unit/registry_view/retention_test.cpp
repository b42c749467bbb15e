#include <gtest/gtest.h>

#include "decode.hpp"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {
namespace {

using registry::v1::Entry;

class RetentionBookTest : public ::testing::Test {
 protected:
  void put_device(const std::string& tenant, const std::string& name, int key, const std::string& type) {
    Entry entry;
    entry.mutable_device()->set_tenant(tenant);
    entry.mutable_device()->set_device(name);
    entry.mutable_device()->set_device_key(key);
    entry.mutable_device()->set_type(type);
    ASSERT_TRUE(apply(state_, "device/" + tenant + "/" + name, entry.SerializeAsString()).ok());
  }
  Status put(const std::string& tenant, int days, const std::map<std::string, int>& types) {
    Entry entry;
    entry.mutable_retention()->set_tenant(tenant);
    entry.mutable_retention()->set_days(days);
    for (const auto& [type, of_type] : types) {
      auto* added = entry.mutable_retention()->add_types();
      added->set_type(type);
      added->set_days(of_type);
    }
    return apply(state_, "retention/" + tenant, entry.SerializeAsString());
  }
  RetentionPlan plan(std::string_view tenant = {}) {
    auto rules = state_.retention().rules(tenant);
    auto devices = state_.devices_under(rules);
    return {std::move(rules), std::move(devices), state_.highest_device_key()};
  }

  State state_{Types::kNames};
};

TEST_F(RetentionBookTest, RulesConcernDevicesByTypeWhateverComesFirst) {
  put_device("acme", "m-1", 3, "meter");
  ASSERT_TRUE(put("acme", 30, {{"meter", 0}, {"bell", 5}}).ok());
  put_device("acme", "m-2", 2, "meter");
  put_device("acme", "b-1", 4, "bell");
  put_device("acme", "plain", 5, "");
  put_device("other", "m-1", 6, "meter");
  const RetentionPlan all = plan();
  ASSERT_EQ(all.rules.size(), 3U);
  EXPECT_EQ(all.rules[0].days, 30);
  EXPECT_EQ(all.rules[1].type, "bell");
  ASSERT_EQ(all.devices.size(), 3U);
  EXPECT_EQ(all.devices[0].device_key, 2);
  EXPECT_EQ(all.devices[0].rule, 2);
  EXPECT_EQ(all.devices[2].device_key, 4);
  EXPECT_EQ(all.devices[2].rule, 1);
  EXPECT_TRUE(plan("other").rules.empty());
  put_device("acme", "m-2", 2, "");
  EXPECT_EQ(plan().devices.size(), 2U);
}

TEST_F(RetentionBookTest, ADayIsOverSoManyDaysAfterItsEnd) {
  ASSERT_TRUE(put("acme", 30, {{"meter", 0}, {"bell", 5}}).ok());
  put_device("acme", "m-1", 3, "meter");
  put_device("acme", "b-1", 4, "bell");
  const RetentionPlan all = plan();
  EXPECT_EQ(all.first_kept_day(1'000), 995);
  const RetentionOfDay younger = all.on(994, 1'000);
  EXPECT_TRUE(younger.tenants.empty());
  EXPECT_EQ(younger.device_rules, (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(all.on(995, 1'000).device_rules, (std::vector<std::int32_t>{0, 0}));
  EXPECT_TRUE(all.on(970, 1'000).tenants.empty());
  const RetentionOfDay old = all.on(969, 1'000);
  EXPECT_EQ(old.tenants, std::vector<std::string>{"acme"});
  EXPECT_EQ(old.tenant_rules, std::vector<std::int32_t>{1});
  EXPECT_EQ(old.device_rules, (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(all.digest_of_rules(969, 1'000), all.digest_of_rules(960, 1'000));
  EXPECT_NE(all.digest_of_rules(969, 1'000), all.digest_of_rules(970, 1'000));
  EXPECT_EQ(RetentionPlan{}.on(1, 1'000).devices.size(), 0U);
  EXPECT_LE(RetentionPlan{}.first_kept_day(1'000), 0);
}

TEST_F(RetentionBookTest, TheDigestOfDevicesMovesWithTheirRulesAlone) {
  ASSERT_TRUE(put("acme", 30, {{"meter", 90}, {"bell", 5}}).ok());
  put_device("acme", "m-1", 3, "meter");
  const auto before = plan().digest_of_devices(3);
  put_device("acme", "m-2", 4, "meter");
  EXPECT_EQ(plan().digest_of_devices(3), before) << "a new one is beyond the key";
  EXPECT_NE(plan().digest_of_devices(4), before);
  ASSERT_TRUE(put("acme", 31, {{"meter", 91}, {"bell", 5}}).ok());
  EXPECT_EQ(plan().digest_of_devices(3), before) << "days are the business of the other digest";
  put_device("acme", "m-1", 3, "bell");
  EXPECT_NE(plan().digest_of_devices(3), before);
}

TEST_F(RetentionBookTest, WhatIsGoneOrNotPutAgainHolds) {
  ASSERT_TRUE(put("acme", 30, {}).ok());
  ASSERT_TRUE(put("other", 30, {}).ok());
  EXPECT_FALSE(put("acme", -1, {}).ok()) << "the one before stays";
  EXPECT_EQ(plan().rules.size(), 2U);
  ASSERT_TRUE(apply(state_, "retention/acme", std::nullopt).ok());
  EXPECT_EQ(plan().rules.size(), 1U);
  state_.begin_reload();
  ASSERT_TRUE(put("new", 1, {}).ok());
  state_.end_reload();
  ASSERT_EQ(plan().rules.size(), 1U);
  EXPECT_EQ(plan().rules[0].tenant, "new");
}

TEST_F(RetentionBookTest, TypesAreKnownByNameWithoutTheirDescriptors) {
  put_device("acme", "m-1", 3, "meter");
  Entry type;
  type.mutable_type()->set_tenant("acme");
  type.mutable_type()->set_type("meter");
  type.mutable_type()->set_format(registry::v1::PAYLOAD_FORMAT_CBOR);
  ASSERT_TRUE(apply(state_, "type/acme/meter", type.SerializeAsString()).ok());
  EXPECT_EQ(state_.device_type("acme", "m-1"), nullptr);
  ASSERT_TRUE(apply(state_, "type/acme/meter", std::nullopt).ok());
  ASSERT_TRUE(put("acme", 0, {{"meter", 1}}).ok());
  EXPECT_EQ(plan().devices.size(), 1U);
}

}  // namespace
}  // namespace millrace::registry_view
