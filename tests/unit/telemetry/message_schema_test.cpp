// Messages of registered descriptors: written by Protocol Buffers' own code, read by ours.
#include <limits>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <pthread.h>

#include <millrace/telemetry/message_schema.hpp>
#include <millrace/telemetry/payload.hpp>

#include "descriptor_set.hpp"

namespace millrace::telemetry {
namespace {

constexpr const char* kProto = R"(
  syntax = "proto3";
  package acme;
  import "google/protobuf/timestamp.proto";
  import "google/protobuf/wrappers.proto";
  enum Mode { OFF = 0; HEAT = 1; }
  message Site { string room = 1; optional int32 floor = 2; Site part = 3; }
  message Reading {
    google.protobuf.Timestamp ts = 1;
    string device_id = 2;
    optional double d = 3;
    optional float f = 4;
    optional int32 i32 = 5;
    optional int64 i64 = 6;
    optional uint32 u32 = 7;
    optional uint64 u64 = 8;
    optional sint32 s32 = 9;
    optional sint64 s64 = 10;
    optional fixed32 x32 = 11;
    optional fixed64 x64 = 12;
    optional sfixed32 y32 = 13;
    optional sfixed64 y64 = 14;
    optional bool b = 15;
    optional string s = 16;
    optional bytes raw = 17;
    optional Mode mode = 18;
    Site site = 19;
    repeated double spectrum = 20;
    repeated Site sites = 21;
    map<string, double> gauges = 22;
    map<int32, Site> rooms = 23;
    oneof either { int32 left = 24; string right = 25; }
    google.protobuf.DoubleValue wrapped = 26;
    google.protobuf.Timestamp changed = 27;
    int32 implicit = 28;
    repeated Mode modes = 29;
    repeated bytes blobs = 30;
  })";

class MessageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto schema = MessageSchema::build(set_.bytes(), "acme.Reading");
    ASSERT_TRUE(schema) << schema.error().message;
    schema_ = *schema;
  }
  std::optional<PayloadError> decode(std::string_view bytes) {
    return decoder_.decode(PayloadFormat::kProtobuf, bytes, {"m1", "", "", 0, schema_.get()}, batch_);
  }
  std::vector<Point> points(const std::string& text) {
    const auto error = decode(set_.encode("acme.Reading", text));
    EXPECT_FALSE(error) << error->message;
    return batch_.points;
  }
  PayloadError fault(std::string_view bytes) {
    auto error = decode(bytes);
    EXPECT_TRUE(error.has_value());
    return error.value_or(PayloadError{});
  }
  PayloadError fault_of(const std::string& text) { return fault(set_.encode("acme.Reading", text)); }

  test::DescriptorSet set_{kProto};
  std::shared_ptr<const MessageSchema> schema_;
  PayloadDecoder decoder_;
  Batch batch_;
};

TEST_F(MessageTest, EveryScalarIsKeptExactly) {
  EXPECT_EQ(points(R"(d: 0.1 f: 0.1 i32: -2147483648 i64: -9223372036854775808 u32: 4294967295
                      u64: 9223372036854775807 s32: -1 s64: 9007199254740993 x32: 1 x64: 2 y32: -3 y64: -4
                      b: false s: "\"\303\274\n\\" raw: "\000\377" mode: HEAT)"),
            (std::vector<Point>{{"d", 0.1, {}},
                                {"f", double{0.1F}, {}},
                                {"i32", std::int64_t{-2147483648}, {}},
                                {"i64", std::numeric_limits<std::int64_t>::min(), {}},
                                {"u32", std::int64_t{4294967295}, {}},
                                {"u64", std::numeric_limits<std::int64_t>::max(), {}},
                                {"s32", std::int64_t{-1}, {}},
                                {"s64", std::int64_t{9007199254740993}, {}},
                                {"x32", std::int64_t{1}, {}},
                                {"x64", std::int64_t{2}, {}},
                                {"y32", std::int64_t{-3}, {}},
                                {"y64", std::int64_t{-4}, {}},
                                {"b", false, {}},
                                {"s", std::string("\"\xc3\xbc\n\\"), {}},
                                {"raw", std::string("AP8="), {}},
                                {"mode", std::string("HEAT"), {}}}));
}

TEST_F(MessageTest, ARealStaysOneWithoutAFraction) {
  EXPECT_EQ(points("d: 21 f: -0 "), (std::vector<Point>{{"d", 21.0, {}}, {"f", 0.0, {}}}));
  EXPECT_EQ(points("d: 1e300"), (std::vector<Point>{{"d", 1e300, {}}}));
}

TEST_F(MessageTest, NestedMessagesAreLevels) {
  EXPECT_EQ(points(R"(site { room: "B1" floor: 0 part { room: "x" } })"),
            (std::vector<Point>{{"site.room", std::string("B1"), {}},
                                {"site.floor", std::int64_t{0}, {}},
                                {"site.part.room", std::string("x"), {}}}));
}

TEST_F(MessageTest, RepeatedFieldsAreJson) {
  EXPECT_EQ(points(R"(spectrum: [1, 2.5, 0] sites { room: "a" } sites {} modes: [HEAT, OFF] blobs: "\001")"),
            (std::vector<Point>{{"spectrum", Json{"[1.0,2.5,0.0]"}, {}},
                                {"sites", Json{R"([{"room":"a"},{}])"}, {}},
                                {"modes", Json{R"(["HEAT","OFF"])"}, {}},
                                {"blobs", Json{R"(["AQ=="])"}, {}}}));
}

TEST_F(MessageTest, EntriesOfAMapAreLevelsInTheOrderOfTheirKeys) {
  EXPECT_EQ(
      points(R"(gauges { key: "b\"" value: 2 } gauges { key: "a" value: 0 } rooms { key: -7 value { floor: 1 } })"),
      (std::vector<Point>{{"gauges.a", 0.0, {}}, {"gauges.b\"", 2.0, {}}, {"rooms.-7.floor", std::int64_t{1}, {}}}));
}

TEST_F(MessageTest, OnlyWhatIsPresentIsAPoint) {
  EXPECT_EQ(points("left: 0"), (std::vector<Point>{{"left", std::int64_t{0}, {}}}));
  EXPECT_EQ(points("implicit: 0 b: false"), (std::vector<Point>{{"b", false, {}}}));
  EXPECT_EQ(points("implicit: 1"), (std::vector<Point>{{"implicit", std::int64_t{1}, {}}}));
  EXPECT_EQ(points("wrapped {}"), (std::vector<Point>{{"wrapped", 0.0, {}}}));
  EXPECT_EQ(to_string(fault_of("implicit: 0 site {} ts { seconds: 1 }").fault), "no_points");
}

TEST_F(MessageTest, LastOfAOneofCounts) {
  const std::string bytes = set_.encode("acme.Reading", "left: 1") + set_.encode("acme.Reading", R"(right: "r")");
  ASSERT_FALSE(decode(bytes));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"right", std::string("r"), {}}}));
}

TEST_F(MessageTest, ItsTime) {
  points("ts { seconds: 1700000000 nanos: 1999 } left: 1");
  EXPECT_EQ(batch_.event_time, 1'700'000'000'000'001);
  EXPECT_EQ(points("changed { seconds: 1700000000 }"),
            (std::vector<Point>{{"changed", std::string("2023-11-14T22:13:20Z"), {}}}));
  EXPECT_EQ(batch_.event_time, std::nullopt);
  EXPECT_EQ(to_string(fault_of("ts { seconds: -1 } left: 1").fault), "time_range");
  const PayloadError bad = fault_of("ts { nanos: -1 } left: 1");
  EXPECT_EQ(to_string(bad.fault), "bad_time");
  EXPECT_NE(bad.message.find("'acme.Reading.ts'"), std::string::npos) << bad.message;
}

TEST_F(MessageTest, UnknownNumberOfAnEnumIsANumber) {
  EXPECT_EQ(points("mode: 7"), (std::vector<Point>{{"mode", std::int64_t{7}, {}}}));
}

TEST_F(MessageTest, FieldsThatAreNotDeclaredArePassedOver) {
  // Field 999 of each wire type.
  const std::string others = std::string("\xb8\x3e\x01", 3) + "\xb9\x3e" + std::string(8, 'x') + "\xba\x3e\x02zz" +
                             "\xbd\x3e" + std::string(4, 'x');
  ASSERT_FALSE(decode(others + set_.encode("acme.Reading", "left: 1")));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"left", std::int64_t{1}, {}}}));
}

TEST_F(MessageTest, Refusals) {
  const auto reason = [this](const std::string& text) { return std::string(to_string(fault_of(text).fault)); };
  EXPECT_EQ(reason("u64: 9223372036854775808"), "integer_range");
  EXPECT_EQ(reason("d: nan"), "not_finite");
  EXPECT_EQ(reason("f: inf"), "not_finite");
  EXPECT_EQ(reason("spectrum: [1, nan]"), "not_finite");
  EXPECT_EQ(reason(R"(device_id: "m2" left: 1)"), "wrong_device");
  EXPECT_EQ(reason(R"(s: "\000")"), "bad_text");
  EXPECT_EQ(reason(R"(gauges { key: "" value: 1 })"), "bad_name");
  EXPECT_EQ(reason(R"(gauges { key: "\001" value: 1 })"), "bad_name");
  EXPECT_EQ(reason("s: \"" + std::string(32 * 1024 + 1, 'x') + '"'), "text_too_long");
  EXPECT_EQ(to_string(fault("").fault), "empty");
}

TEST_F(MessageTest, WhatIsNotProtocolBuffersSaysWhere) {
  const std::string whole = set_.encode("acme.Reading", R"(d: 1 site { room: "B1" floor: 3 } spectrum: [1, 2])");
  ASSERT_FALSE(decode(whole));
  std::size_t refused = 0;
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto error = decode(std::string_view(whole).substr(0, size));
    if (!error) continue;  // cut between two fields
    ++refused;
    EXPECT_EQ(to_string(error->fault), "syntax");
    EXPECT_EQ(error->message.substr(0, 22), "not Protocol Buffers: ") << error->message;
    ASSERT_TRUE(error->offset.has_value()) << error->message;
    EXPECT_LE(*error->offset, size);
  }
  EXPECT_EQ(refused, whole.size() - 3);
  EXPECT_EQ(to_string(fault("\xff\xff").fault), "syntax");
}

TEST_F(MessageTest, ANumberCutInAPackedFieldIsSyntax) {
  // Field 29, packed, one byte of a varint that goes on.
  EXPECT_EQ(fault(std::string("\xea\x01\x01\xff", 4)).message,
            "not Protocol Buffers: a number in a packed field is cut or malformed");
}

TEST_F(MessageTest, AnotherTypeThanDeclared) {
  const PayloadError error = fault(std::string("\x18\x01", 2));  // `d` as a varint
  EXPECT_EQ(to_string(error.fault), "shape");
  EXPECT_EQ(error.message, "field 3 of 'acme.Reading' has another type than is declared for 'd'");
  const PayloadError text = fault(std::string("\x82\x01\x01\xff", 4));
  EXPECT_EQ(to_string(text.fault), "bad_text");
  EXPECT_EQ(text.message, "the value of 'acme.Reading.s' is not UTF-8");
}

TEST_F(MessageTest, DepthIsBounded) {
  const auto nested = [](int parts) {
    std::string text = "floor: 1";
    for (int i = 0; i < parts; ++i) text = "part { " + text + " }";
    return "site { " + text + " }";
  };
  EXPECT_EQ(points(nested(14)).size(), 1U);
  EXPECT_EQ(to_string(fault_of(nested(15)).fault), "too_deep");
  // Far deeper than Protocol Buffers' own limit, and than a stack would take.
  const auto within = [](const std::string& tag, const std::string& bytes) {
    std::string out = tag;
    for (std::size_t rest = bytes.size();; rest >>= 7U) {
      out += static_cast<char>((rest & 0x7fU) | (rest > 0x7f ? 0x80U : 0U));
      if (rest <= 0x7f) return out + bytes;
    }
  };
  std::string deep;
  while (deep.size() < 60'000) deep = within("\x1a", deep);
  EXPECT_EQ(to_string(fault(within("\x9a\x01", deep)).fault), "too_deep");
}

TEST_F(MessageTest, MemoryIsBounded) {
  std::string many;
  for (int i = 0; i < 80'000; ++i) many += std::string("\xaa\x01\x00", 3);  // an empty one of `sites`
  EXPECT_EQ(to_string(fault(many).fault), "text_too_long");  // 8 MB in memory, as JSON more than a value may have
  const PayloadError error = [] {
    std::string fields;
    for (int i = 1; i <= 500; ++i) fields += "optional double f" + std::to_string(i) + " = " + std::to_string(i) + ";";
    const test::DescriptorSet wide("syntax = \"proto3\"; message Wide {" + fields +
                                   "} message R { repeated Wide w = 1; }");
    const auto schema = MessageSchema::build(wide.bytes(), "R");
    std::string bytes;
    for (int i = 0; i < 100'000; ++i) bytes += std::string("\x0a\x00", 2);
    PayloadDecoder decoder;
    Batch batch;
    return decoder.decode(PayloadFormat::kProtobuf, bytes, {"m1", "", "", 0, schema->get()}, batch)
        .value_or(PayloadError{});
  }();
  EXPECT_EQ(to_string(error.fault), "too_large");
  EXPECT_NE(error.message.find("send fewer at once"), std::string::npos) << error.message;
}

TEST_F(MessageTest, LongNamesDoNotGrowWithoutBound) {
  const std::string name(120, 'n');
  const test::DescriptorSet set("syntax = \"proto3\"; message N { optional bool " + name +
                                " = 1; } message R { repeated N n = 1; }");
  const auto schema = MessageSchema::build(set.bytes(), "R");
  ASSERT_TRUE(schema);
  std::string bytes;
  for (int i = 0; i < 60'000; ++i) bytes += std::string("\x0a\x02\x08\x01", 4);
  const auto error = decoder_.decode(PayloadFormat::kProtobuf, bytes, {"m1", "", "", 0, schema->get()}, batch_);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(to_string(error->fault), "too_large");
  EXPECT_NE(error->message.find("when its fields are named"), std::string::npos) << error->message;
}

TEST_F(MessageTest, ManyThreadsShareASchema) {
  const std::string bytes = set_.encode("acme.Reading", R"(i64: 5 site { room: "B1" } gauges { key: "a" value: 1 })");
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (int& count : wrong) {
    threads.emplace_back([&, &count = count] {
      PayloadDecoder decoder;
      Batch batch;
      for (int i = 0; i < 500; ++i) {
        const auto error = decoder.decode(PayloadFormat::kProtobuf, bytes, {"m1", "", "", 0, schema_.get()}, batch);
        if (error || batch.points.size() != 3) ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

TEST_F(MessageTest, OtherFormatsDoNotCareForTheSchema) {
  ASSERT_FALSE(decoder_.decode(PayloadFormat::kJson, R"({"a":1})", {"m1", "", "", 0, schema_.get()}, batch_));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"a", std::int64_t{1}, {}}}));
}

TEST_F(MessageTest, NamesGoOnBehindThePrefixAndTheMetric) {
  ASSERT_FALSE(decoder_.decode(PayloadFormat::kProtobuf, set_.encode("acme.Reading", "left: 1"),
                               {"m1", "status.", "room/1", 0, schema_.get()}, batch_));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"status.room.1.left", std::int64_t{1}, {}}}));
}

class SchemaTest : public ::testing::Test {
 protected:
  static std::string refusal(const test::DescriptorSet& set, std::string_view message) {
    const auto schema = MessageSchema::build(set.bytes(), message);
    return schema ? "taken" : schema.error().message;
  }
  static std::string of(const std::string& body, std::string_view message = "R") {
    return refusal(test::DescriptorSet("syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; " + body),
                   message);
  }
};

TEST_F(SchemaTest, WhatCannotBeUsedIsNamed) {
  EXPECT_EQ(of("message R { int32 a = 1; }"), "taken");
  EXPECT_EQ(of("message R { int32 a = 1; }", "X"),
            "the descriptor set has no message 'X'; its messages are google.protobuf.Timestamp, R");
  EXPECT_EQ(of("message A {} message B {} message C {} message D {} message E {}", "X"),
            "the descriptor set has no message 'X'; its messages are google.protobuf.Timestamp, A, B, C, D …");
  EXPECT_EQ(of("message R { string device_id = 1; google.protobuf.Timestamp at = 2; }"),
            "'R' has no field that could be a metric: only what is reserved for time and device");
  EXPECT_EQ(of("message R { R r = 1; }"),
            "'R' has no field that could be a metric: only what is reserved for time and device");
  EXPECT_EQ(of("message R { int64 device_id = 1; int32 a = 2; }"),
            "'R.device_id' must be a string: it names the device that sends");
  EXPECT_EQ(of("message R { bool ts = 1; int32 a = 2; }"),
            "'R.ts' is the time: it must be a google.protobuf.Timestamp, a number or a string");
  EXPECT_EQ(of("message R { repeated int64 time = 1; int32 a = 2; }"),
            "'R.time' is the time: it must be a google.protobuf.Timestamp, a number or a string");
}

TEST_F(SchemaTest, GroupsAndExtensionsAreRefusedWhereTheMessageReachesThem) {
  const auto two = [](const std::string& body) { return test::DescriptorSet("syntax = \"proto2\"; " + body); };
  EXPECT_EQ(
      refusal(two("message R { optional S s = 1; } message S { repeated group G = 1 { optional int32 a = 1; } }"), "R"),
      "'S.g' is a group, which is not taken: make it a message");
  EXPECT_EQ(refusal(two("message R { optional int32 a = 1; extensions 100 to 200; }"), "R"),
            "'R' has extensions, which are not taken: make them fields");
  EXPECT_EQ(refusal(two("message R { optional int32 a = 1; } message S { extensions 100 to 200; }"), "R"), "taken");
}

TEST_F(SchemaTest, TheSetMustBeWhole) {
  test::DescriptorSet set(R"(syntax = "proto3"; import "google/protobuf/timestamp.proto"; message R { int32 a = 1; })");
  set.set().mutable_file()->SwapElements(0, 1);  // the order does not matter
  EXPECT_EQ(refusal(set, "R"), "taken");
  set.set().mutable_file()->DeleteSubrange(1, 1);
  EXPECT_EQ(refusal(set, "R"),
            "the file 'test.proto' imports 'google/protobuf/timestamp.proto', which the descriptor set does not have: "
            "make it with protoc --include_imports --descriptor_set_out=FILE");
  test::DescriptorSet round(R"(syntax = "proto3"; message R { int32 a = 1; })");
  round.set().mutable_file(0)->add_dependency("test.proto");
  EXPECT_EQ(refusal(round, "R"), "the imports of the file 'test.proto' lead back to it");
}

TEST_F(SchemaTest, WhatProtocolBuffersRefuseIsSaidAsTheySayIt) {
  test::DescriptorSet set(R"(syntax = "proto3"; message R { int32 a = 1; })");
  auto& field = *set.set().mutable_file(0)->mutable_message_type(0)->mutable_field(0);
  field.clear_type();
  field.set_type_name("Missing");
  EXPECT_EQ(refusal(set, "R"), "'test.proto': R.a: \"Missing\" is not defined.");
  field.set_type_name("\xff");
  EXPECT_EQ(refusal(set, "R"), "a name in the descriptor set is not UTF-8");
}

TEST_F(SchemaTest, WhatIsNoSet) {
  EXPECT_NE(MessageSchema::build("", "R").error().message.find("is empty"), std::string::npos);
  EXPECT_NE(MessageSchema::build("syntax", "R").error().message.find("is no google.protobuf.FileDescriptorSet"),
            std::string::npos);
  EXPECT_NE(MessageSchema::build(std::string(kMaxDescriptorSetBytes + 1, 'x'), "R").error().message.find("262144"),
            std::string::npos);
  EXPECT_NE(MessageSchema::build("x", "").error().message.find("name of the message"), std::string::npos);
}

/// R, which has a message of the kind M1, which has one of the kind M2, and so on: `kinds` in all.
std::string chain_of(int kinds) {
  google::protobuf::FileDescriptorSet set;
  auto& file = *set.add_file();
  file.set_name("f");
  for (int i = 0; i < kinds; ++i) {
    auto& message = *file.add_message_type();
    message.set_name(i == 0 ? "R" : "M" + std::to_string(i));
    auto& field = *message.add_field();
    field.set_name("a");
    field.set_number(1);
    field.set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
    if (i + 1 < kinds) {
      field.set_type_name(".M" + std::to_string(i + 1));
    } else {
      field.set_type(google::protobuf::FieldDescriptorProto::TYPE_INT32);
    }
  }
  return set.SerializeAsString();
}

TEST_F(SchemaTest, AChainOfKindsIsBounded) {
  for (const int kinds : {static_cast<int>(kMaxMessageKinds) + 1, 6'000}) {
    const auto schema = MessageSchema::build(chain_of(kinds), "R");
    ASSERT_FALSE(schema) << kinds;
    EXPECT_EQ(
        schema.error().message,
        "'R' leads to more than 1000 kinds of messages, the most that are taken: leave out fields that devices do "
        "not send");
  }
}

// As much as a thread has where stacks are small; a sanitizer's frames are several times as large.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kSmallStack = std::size_t{8} * 512 * 1024;
#else
constexpr std::size_t kSmallStack = std::size_t{512} * 1024;
#endif

TEST_F(SchemaTest, TheLongestChainIsTakenOnASmallStack) {
  struct Built {
    std::string set = chain_of(kMaxMessageKinds);
    bool ok = false;
  } built;
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kSmallStack), 0);
  pthread_t thread{};
  const auto build = [](void* argument) -> void* {
    auto& into = *static_cast<Built*>(argument);
    into.ok = MessageSchema::build(into.set, "R").ok();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, build, &built), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  EXPECT_TRUE(built.ok);
}

TEST_F(SchemaTest, WhatIsWrongIsSaidInTheAnswerAlone) {
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(MessageSchema::build("\x0A\x03\x0A\x01\xFF", "R"));  // a file whose name is no UTF-8
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(SchemaTest, TheOnlyTimestampIsTheTime) {
  const auto time_of = [](const std::string& fields) {
    const test::DescriptorSet set("syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; message R {" +
                                  fields + " int32 a = 9; }");
    const auto schema = MessageSchema::build(set.bytes(), "R");
    PayloadDecoder decoder;
    Batch batch;
    const auto error = decoder.decode(PayloadFormat::kProtobuf, set.encode("R", "x { seconds: 5 } a: 1"),
                                      {"m1", "", "", 0, schema->get()}, batch);
    EXPECT_FALSE(error) << error->message;
    return batch.event_time;
  };
  EXPECT_EQ(time_of("google.protobuf.Timestamp x = 1;"), 5'000'000);
  EXPECT_EQ(time_of("google.protobuf.Timestamp x = 1; google.protobuf.Timestamp y = 2;"), std::nullopt);
  EXPECT_EQ(time_of("google.protobuf.Timestamp x = 1; int64 ts = 2;"), std::nullopt);
}

TEST_F(SchemaTest, FieldsWithoutPresenceAreNamed) {
  const test::DescriptorSet set(R"(syntax = "proto3"; message S { bool on = 1; optional bool off = 2; }
    message R { int64 ts = 1; double b = 2; double a = 3; optional double c = 4; repeated double d = 5; S s = 6;
                oneof either { int32 e = 7; } map<string, int32> m = 8; })");
  const auto schema = MessageSchema::build(set.bytes(), "R");
  ASSERT_TRUE(schema) << schema.error().message;
  EXPECT_EQ((*schema)->zero_is_absent(9), (std::vector<std::string>{"R.a", "R.b", "S.on"}));
  EXPECT_EQ((*schema)->zero_is_absent(1), (std::vector<std::string>{"R.a"}));
}

TEST_F(SchemaTest, ARequiredFieldThatIsMissingIsShape) {
  const test::DescriptorSet set("syntax = \"proto2\"; message R { required int32 a = 1; optional int32 b = 2; }");
  const auto schema = MessageSchema::build(set.bytes(), "R");
  ASSERT_TRUE(schema) << schema.error().message;
  PayloadDecoder decoder;
  Batch batch;
  const auto error =
      decoder.decode(PayloadFormat::kProtobuf, set.encode("R", "b: 1"), {"m1", "", "", 0, schema->get()}, batch);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(to_string(error->fault), "shape");
  EXPECT_EQ(error->message, "the required field 'a' is missing");
}

}  // namespace
}  // namespace millrace::telemetry
