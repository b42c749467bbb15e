#include <gtest/gtest.h>

#include <millrace/telemetry/message_schema.hpp>

#include "decode.hpp"
#include "descriptor_set.hpp"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {
namespace {

using registry::v1::Entry;

class TypeBookTest : public ::testing::Test {
 protected:
  static Entry type(const std::string& name, registry::v1::PayloadFormat format) {
    Entry entry;
    entry.mutable_type()->set_tenant("acme");
    entry.mutable_type()->set_type(name);
    entry.mutable_type()->set_format(format);
    return entry;
  }
  static Entry device(const std::string& name, int key, const std::string& of) {
    Entry entry;
    entry.mutable_device()->set_tenant("acme");
    entry.mutable_device()->set_device(name);
    entry.mutable_device()->set_device_key(key);
    entry.mutable_device()->set_enabled(true);
    entry.mutable_device()->add_token_sha256(std::string(32, static_cast<char>(key)));
    entry.mutable_device()->set_type(of);
    return entry;
  }
  void put(const std::string& key, const Entry& entry) {
    const Status status = apply(state_, key, entry.SerializeAsString());
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  void put_type(const std::string& name, registry::v1::PayloadFormat format = registry::v1::PAYLOAD_FORMAT_CBOR) {
    put("type/acme/" + name, type(name, format));
  }
  void put_device(const std::string& name, int key, const std::string& of) {
    put("device/acme/" + name, device(name, key, of));
  }
  void remove(const std::string& key) { EXPECT_TRUE(apply(state_, key, std::nullopt).ok()); }
  std::string name_of(const char* device) {
    const DeviceTypePtr found = state_.device_type("acme", device);
    return found ? found->name : "none";
  }

  State state_{Types::kKeep};
};

TEST_F(TypeBookTest, TypeAndDeviceComeInAnyOrder) {
  put_device("m-1", 1, "meter");
  EXPECT_EQ(name_of("m-1"), "none");
  put_type("meter");
  EXPECT_EQ(name_of("m-1"), "meter");
  put_device("m-2", 2, "meter");
  put_device("m-3", 3, "");
  EXPECT_EQ(name_of("m-2"), "meter");
  EXPECT_EQ(name_of("m-3"), "none");
  EXPECT_EQ(name_of("m-4"), "none");
  EXPECT_EQ(state_.device_type("other", "m-1"), nullptr);
  EXPECT_EQ(state_.device_type("acme", "m-1")->format, telemetry::PayloadFormat::kCbor);
}

TEST_F(TypeBookTest, EveryFormatIsThatOfTheRegistry) {
  using F = telemetry::PayloadFormat;
  put_device("m-1", 1, "meter");
  const F formats[] = {F::kJson, F::kCbor, F::kSenmlJson, F::kSenmlCbor, F::kProtobuf, F::kText};
  for (int i = 0; i < 6; ++i) {
    put_type("meter", static_cast<registry::v1::PayloadFormat>(i + 1));
    EXPECT_EQ(state_.device_type("acme", "m-1")->format, formats[i]);
  }
}

TEST_F(TypeBookTest, GenerationMovesWithEachChangeThatASessionMustKnow) {
  put_type("meter");
  put_device("m-1", 1, "meter");
  auto before = state_.types().generation();
  EXPECT_NE(before, 0U);
  const auto moved = [&] { return std::exchange(before, state_.types().generation()) != before; };
  put_device("m-2", 2, "meter");
  EXPECT_FALSE(moved()) << "nobody is connected as a device that was not there";
  put_device("m-1", 1, "meter");
  EXPECT_FALSE(moved());
  put_type("meter", registry::v1::PAYLOAD_FORMAT_JSON);
  EXPECT_TRUE(moved());
  put_device("m-1", 1, "");
  EXPECT_TRUE(moved());
  EXPECT_EQ(name_of("m-1"), "none");
  put_device("m-1", 1, "other");
  EXPECT_TRUE(moved());
  remove("type/acme/meter");
  EXPECT_TRUE(moved());
}

TEST_F(TypeBookTest, ANumberIsGivenAgainOnlyWhenNobodyHasIt) {
  put_device("m-1", 1, "meter");
  put_type("meter");
  put_device("m-2", 2, "pump");
  put_type("pump");
  remove("type/acme/meter");
  put_type("valve");
  EXPECT_EQ(name_of("m-1"), "none");
  remove("device/acme/m-1");
  put_type("fan");
  put_device("m-3", 3, "fan");
  EXPECT_EQ(name_of("m-2"), "pump");
  EXPECT_EQ(name_of("m-3"), "fan");
  put_type("meter");
  EXPECT_EQ(name_of("m-3"), "fan");
}

TEST_F(TypeBookTest, ADeviceKeepsItsTokensBesideItsType) {
  put_type("meter");
  put_device("m-1", 1, "meter");
  Sha256 token{};
  token.fill(1);
  const auto found = state_.find_by_token(token);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->device, "m-1");
  EXPECT_TRUE(state_.find_with_token("acme", "m-1", token).has_value());
}

TEST_F(TypeBookTest, ASecondReadingForgetsWhatIsNotThere) {
  put_type("meter");
  put_type("pump");
  put_device("m-1", 1, "meter");
  put_device("m-2", 2, "pump");
  state_.begin_reload();
  put_type("pump");
  put_device("m-1", 1, "meter");
  put_device("m-2", 2, "pump");
  state_.end_reload();
  EXPECT_EQ(name_of("m-1"), "none");
  EXPECT_EQ(name_of("m-2"), "pump");
}

TEST_F(TypeBookTest, ADescriptorIsBuiltOnceForAll) {
  const test::DescriptorSet set("syntax = \"proto3\"; message R { optional int32 a = 1; }");
  Entry entry = type("meter", registry::v1::PAYLOAD_FORMAT_PROTOBUF);
  entry.mutable_type()->set_descriptor_set(set.bytes());
  entry.mutable_type()->set_message("R");
  put("type/acme/meter", entry);
  put_device("m-1", 1, "meter");
  put_device("m-2", 2, "meter");
  ASSERT_NE(state_.device_type("acme", "m-1")->schema, nullptr);
  EXPECT_EQ(state_.device_type("acme", "m-1"), state_.device_type("acme", "m-2"));
  EXPECT_EQ(state_.device_type("acme", "m-1")->problem, "");
}

TEST_F(TypeBookTest, ADescriptorThatCannotBeUsedIsInvalidAndSaysSo) {
  put_type("meter");
  put_device("m-1", 1, "meter");
  Entry entry = type("meter", registry::v1::PAYLOAD_FORMAT_PROTOBUF);
  entry.mutable_type()->set_descriptor_set("x");
  entry.mutable_type()->set_message("R");
  const Status status = apply(state_, "type/acme/meter", entry.SerializeAsString());
  ASSERT_FALSE(status.ok());
  const DeviceTypePtr now = state_.device_type("acme", "m-1");
  ASSERT_NE(now, nullptr);
  EXPECT_EQ(now->schema, nullptr);
  EXPECT_NE(now->problem.find("FileDescriptorSet"), std::string::npos) << now->problem;
}

TEST_F(TypeBookTest, WhatMakesNoSenseChangesNothing) {
  put_type("meter");
  put_device("m-1", 1, "meter");
  EXPECT_FALSE(
      apply(state_, "type/acme/pump", type("meter", registry::v1::PAYLOAD_FORMAT_JSON).SerializeAsString()).ok());
  EXPECT_FALSE(
      apply(state_, "type/acme/meter", type("meter", registry::v1::PAYLOAD_FORMAT_UNSPECIFIED).SerializeAsString())
          .ok());
  EXPECT_FALSE(apply(state_, "type/acme", std::nullopt).ok());
  EXPECT_EQ(state_.device_type("acme", "m-1")->format, telemetry::PayloadFormat::kCbor);
}

TEST_F(TypeBookTest, WhoDoesNotAskForTypesHasNone) {
  State state;
  const auto entry = type("meter", registry::v1::PAYLOAD_FORMAT_JSON).SerializeAsString();
  EXPECT_TRUE(apply(state, "type/acme/meter", entry).ok());
  EXPECT_TRUE(apply(state, "device/acme/m-1", device("m-1", 1, "meter").SerializeAsString()).ok());
  EXPECT_EQ(state.device_type("acme", "m-1"), nullptr);
  EXPECT_TRUE(state.find("acme", "m-1").has_value());
}

}  // namespace
}  // namespace millrace::registry_view
