#include <gtest/gtest.h>

#include "decode.hpp"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {
namespace {

using registry::v1::Entry;

void set(registry::v1::RateLimit* rate, double per_second, double burst = 0) {
  rate->set_per_second(per_second);
  rate->set_burst(burst);
}

class LimitBookTest : public ::testing::Test {
 protected:
  void put(const std::string& key, const Entry& entry) {
    const Status status = apply(state_, key, entry.SerializeAsString());
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  void put_tenant() {
    Entry entry;
    entry.mutable_limits()->set_tenant("acme");
    set(entry.mutable_limits()->mutable_tenant_total()->mutable_messages(), 5000);
    set(entry.mutable_limits()->mutable_device_default()->mutable_messages(), 10, 50);
    set(entry.mutable_limits()->mutable_device_default()->mutable_bytes(), 0.5);
    put("limits/acme", entry);
  }
  void put_device() {
    Entry entry;
    entry.mutable_limits()->set_tenant("acme");
    entry.mutable_limits()->set_device("m-1");
    set(entry.mutable_limits()->mutable_device_override()->mutable_messages(), 100);
    entry.mutable_limits()->mutable_device_override()->set_connections(3);
    put("limits/acme/m-1", entry);
  }
  [[nodiscard]] LimitsOf of(const char* device) const { return state_.limits().of("acme", device); }

  State state_;
};

TEST_F(LimitBookTest, NobodyIsLimitedAtFirst) {
  EXPECT_EQ(of("m-1").tenant, nullptr);
  EXPECT_EQ(of("m-1").device, nullptr);
  EXPECT_NE(state_.limits().generation(), 0U);
}

TEST_F(LimitBookTest, DevicesWithoutLimitsOfTheirOwnShareTheDefault) {
  put_tenant();
  EXPECT_DOUBLE_EQ(of("m-1").tenant->messages.per_second, 5000);
  EXPECT_DOUBLE_EQ(of("m-1").tenant->messages.burst, 5000) << "one second where none is said";
  EXPECT_DOUBLE_EQ(of("m-1").device->messages.burst, 50);
  EXPECT_DOUBLE_EQ(of("m-1").device->bytes.burst, 1) << "at least one";
  EXPECT_EQ(of("m-1").device.get(), of("m-2").device.get()) << "one object for all of them";
}

TEST_F(LimitBookTest, WhatADeviceHasOfItsOwnGoesBeforeTheDefault) {
  const auto before = state_.limits().generation();
  put_device();
  put_tenant();
  EXPECT_NE(state_.limits().generation(), before);
  const auto limits = of("m-1").device;
  EXPECT_DOUBLE_EQ(limits->messages.per_second, 100);
  EXPECT_DOUBLE_EQ(limits->bytes.per_second, 0.5);
  EXPECT_EQ(limits->connections, 3U);
  EXPECT_EQ(of("m-2").device->connections, 0U);
}

TEST_F(LimitBookTest, TombstonesTakeThemAway) {
  put_tenant();
  put_device();
  ASSERT_TRUE(apply(state_, "limits/acme", std::nullopt).ok());
  EXPECT_EQ(of("m-1").tenant, nullptr);
  EXPECT_FALSE(of("m-1").device->bytes.limited());
  ASSERT_TRUE(apply(state_, "limits/acme/m-1", std::nullopt).ok());
  EXPECT_EQ(of("m-1").device, nullptr);
}

TEST_F(LimitBookTest, ASecondReadingForgetsWhatItDoesNotName) {
  put_tenant();
  put_device();
  state_.begin_reload();
  put_device();
  state_.end_reload();
  EXPECT_EQ(of("m-2").device, nullptr);
  EXPECT_DOUBLE_EQ(of("m-1").device->messages.per_second, 100);
}

TEST_F(LimitBookTest, RatesThatAreNoneChangeNothing) {
  put_tenant();
  Entry entry;
  entry.mutable_limits()->set_tenant("acme");
  set(entry.mutable_limits()->mutable_tenant_total()->mutable_messages(), -1);
  EXPECT_FALSE(apply(state_, "limits/acme", entry.SerializeAsString()).ok());
  EXPECT_FALSE(apply(state_, "limits/other", entry.SerializeAsString()).ok());
  EXPECT_DOUBLE_EQ(of("m-1").tenant->messages.per_second, 5000);
}

}  // namespace
}  // namespace millrace::registry_view
