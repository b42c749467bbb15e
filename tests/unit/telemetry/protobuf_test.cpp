// Readings as Protocol Buffers: written by the generated code, read by our own.
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/payload.hpp>
#include <millrace/telemetry/v1/readings.pb.h>

namespace millrace::telemetry {
namespace {

class ProtobufTest : public ::testing::Test {
 protected:
  v1::Value& add(const std::string& metric) {
    v1::Point& point = *readings_.add_points();
    point.set_metric(metric);
    return *point.mutable_value();
  }
  std::optional<PayloadError> decode() { return decode(readings_.SerializeAsString()); }
  std::optional<PayloadError> decode(std::string_view bytes) {
    return decoder_.decode(PayloadFormat::kProtobuf, bytes, {"m1", prefix_}, batch_);
  }
  void expect_fault(PayloadFault fault, std::optional<std::size_t> element) {
    const auto error = decode();
    ASSERT_TRUE(error.has_value()) << readings_.ShortDebugString();
    EXPECT_EQ(to_string(error->fault), to_string(fault)) << error->message;
    EXPECT_EQ(error->element, element) << error->message;
  }

  v1::Readings readings_;
  PayloadDecoder decoder_;
  Batch batch_;
  std::string prefix_;
};

TEST_F(ProtobufTest, EveryKindOfValueIsKept) {
  add("d").set_double_value(21.5);
  add("i").set_int_value(std::numeric_limits<std::int64_t>::min());
  add("j").set_int_value(std::numeric_limits<std::int64_t>::max());
  add("exact").set_int_value(9007199254740993);
  add("b").set_bool_value(false);
  add("s").set_string_value("ü");
  add("empty").set_string_value("");
  add("a").set_json_value(R"([1, {"x": 2}])");
  add("zero").set_double_value(0);
  ASSERT_FALSE(decode());
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"d", 21.5, {}},
                                               {"i", std::numeric_limits<std::int64_t>::min(), {}},
                                               {"j", std::numeric_limits<std::int64_t>::max(), {}},
                                               {"exact", std::int64_t{9007199254740993}, {}},
                                               {"b", false, {}},
                                               {"s", std::string("ü"), {}},
                                               {"empty", std::string(), {}},
                                               {"a", Json{R"([1,{"x":2}])"}, {}},
                                               {"zero", 0.0, {}}}));
}

TEST_F(ProtobufTest, TimesOfTheMessageAndOfAPoint) {
  readings_.set_time_us(1'700'000'000'000'001);
  readings_.set_device_id("m1");
  add("a").set_int_value(1);
  add("b").set_int_value(2);
  readings_.mutable_points(1)->set_time_us(1'700'000'000'000'002);
  prefix_ = "status.";
  ASSERT_FALSE(decode());
  EXPECT_EQ(batch_.event_time, 1'700'000'000'000'001);
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"status.a", std::int64_t{1}, {}},
                                               {"status.b", std::int64_t{2}, 1'700'000'000'000'002}}));
}

TEST_F(ProtobufTest, FieldsOfALaterVersionArePassedOver) {
  add("a").set_int_value(1);
  std::string bytes = readings_.SerializeAsString();
  // Fields 100 to 103: varint, 64 bits, bytes, 32 bits.
  bytes += from_hex(
               "a00601a1060102030405060708a2060161a5061122"
               "3344")
               .value();
  ASSERT_FALSE(decode(bytes));
  EXPECT_EQ(batch_.points.size(), 1U);
}

TEST_F(ProtobufTest, EveryFaultHasItsReasonAndItsPoint) {
  add("a").set_int_value(1);
  add("b");
  expect_fault(PayloadFault::kShape, 1U);
  add("").set_int_value(1);
  readings_.mutable_points(1)->mutable_value()->set_double_value(std::numeric_limits<double>::quiet_NaN());
  expect_fault(PayloadFault::kNotFinite, 1U);
  readings_.mutable_points(1)->mutable_value()->set_double_value(1);
  expect_fault(PayloadFault::kBadName, 2U);
  readings_.mutable_points(2)->set_metric("c\n");
  expect_fault(PayloadFault::kBadName, 2U);
  readings_.mutable_points(2)->set_metric(std::string(129, 'c'));
  expect_fault(PayloadFault::kNameTooLong, 2U);
  readings_.mutable_points(2)->set_metric("c");
  readings_.mutable_points(2)->set_time_us(-1);
  expect_fault(PayloadFault::kTimeRange, 2U);
  readings_.mutable_points(2)->set_time_us(1);
  readings_.mutable_points(2)->mutable_value()->set_json_value("[1");
  expect_fault(PayloadFault::kSyntax, 2U);
  readings_.mutable_points(2)->mutable_value()->set_json_value("7");
  expect_fault(PayloadFault::kShape, 2U);
  readings_.mutable_points(2)->mutable_value()->set_json_value(std::string(18, '[') + std::string(18, ']'));
  expect_fault(PayloadFault::kTooDeep, 2U);
  readings_.mutable_points(2)->mutable_value()->set_string_value(std::string("a\0b", 3));
  expect_fault(PayloadFault::kBadText, 2U);
  readings_.mutable_points(2)->mutable_value()->set_string_value(std::string(32 * 1024 + 1, 'x'));
  expect_fault(PayloadFault::kTextTooLong, 2U);
  readings_.mutable_points(2)->mutable_value()->set_bool_value(true);
  EXPECT_FALSE(decode());
  readings_.set_device_id("m2");
  expect_fault(PayloadFault::kWrongDevice, std::nullopt);
  readings_.clear_device_id();
  readings_.set_time_us(-1);
  expect_fault(PayloadFault::kTimeRange, std::nullopt);
  readings_.clear_time_us();
  for (int i = 0; i < 1000; ++i) add("m").set_int_value(i);
  expect_fault(PayloadFault::kTooManyPoints, 1000U);
  readings_.clear_points();
  readings_.set_time_us(1);
  expect_fault(PayloadFault::kNoPoints, std::nullopt);
}

TEST_F(ProtobufTest, WhatIsCutOrMalformedIsRefusedWithItsByte) {
  for (const char* hex : {"1a05", "1a070a0161", "08", "ffffffffffffffffffffff", "0b", "00", "1a050a0161120110", "7b",
                          "1a00ff", "1a020a05", "1a8080808080808080807f"}) {
    const std::string bytes = from_hex(hex).value();
    const auto error = decode(bytes);
    ASSERT_TRUE(error.has_value()) << hex;
    EXPECT_LE(error->offset.value_or(0), bytes.size()) << hex;
  }
  EXPECT_EQ(decode(from_hex("1a05").value())->fault, PayloadFault::kSyntax);
  EXPECT_EQ(decode(from_hex("0a0161").value())->fault, PayloadFault::kShape) << "field 1 as bytes";
  // A name and a text that are not UTF-8, which proto3's own parser refuses too.
  EXPECT_EQ(decode(from_hex("1a070a01ff12021002").value())->fault, PayloadFault::kBadName);
  EXPECT_EQ(decode(from_hex("1a080a01611203"
                            "2201ff")
                       .value())
                ->fault,
            PayloadFault::kBadText);
}

}  // namespace
}  // namespace millrace::telemetry
