#include <gtest/gtest.h>

#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {
namespace {

class TextPayloadTest : public ::testing::Test {
 protected:
  std::optional<PayloadError> decode(std::string_view text, std::string_view metric = "temperature") {
    return decoder_.decode(PayloadFormat::kText, text, {"m1", "status.", metric}, batch_);
  }
  PayloadDecoder decoder_;
  Batch batch_;
};

TEST_F(TextPayloadTest, ValuesAreWhatTheyLookLike) {
  const std::pair<const char*, Value> cases[] = {
      {"21", std::int64_t{21}},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
      {"9007199254740993", std::int64_t{9007199254740993}},
      {"+5", std::int64_t{5}},
      {"21.5", 21.5},
      {" 21.5\n", 21.5},
      {".5", 0.5},
      {"5.", 5.0},
      {"-1e3", -1000.0},
      {"1E-400", 0.0},
      {"0.0000000000000001e-320", 0.0},
      {"true", true},
      {"false", false},
      {"open", std::string("open")},
      {"two words\r\n", std::string("two words")},
      {"1.2.3", std::string("1.2.3")},
      {"2026-07-01", std::string("2026-07-01")},
      {"-", std::string("-")},
      {"1e", std::string("1e")},
      {"{\"a\":1}", std::string("{\"a\":1}")},
      {"grün", std::string("grün")},
  };
  for (const auto& [text, value] : cases) {
    ASSERT_FALSE(decode(text)) << text;
    EXPECT_EQ(batch_.points, (std::vector<Point>{{"status.temperature", value, {}}})) << text;
  }
  ASSERT_FALSE(decode("1", "pump/2/rpm"));
  EXPECT_EQ(batch_.points[0].metric, "status.pump.2.rpm");
}

TEST_F(TextPayloadTest, WhatIsRefusedAndWhy) {
  const auto fault_of = [&](std::string_view text, std::string_view metric = "t") {
    const auto error = decode(text, metric);
    return error ? std::string(to_string(error->fault)) : "";
  };
  EXPECT_EQ(fault_of(""), "empty");
  EXPECT_EQ(fault_of(" \n"), "empty");
  for (const char* text : {"NaN", "nan", "-Infinity", "+inf", "1e999"}) EXPECT_EQ(fault_of(text), "not_finite") << text;
  EXPECT_EQ(fault_of(std::string(400, '9') + ".0"), "not_finite");
  EXPECT_EQ(fault_of(std::string(310, '9') + "." + std::string(400, '0')), "not_finite");
  EXPECT_EQ(fault_of("1" + std::string(800, '0') + "e-400"), "not_finite");
  EXPECT_EQ(fault_of("9223372036854775808"), "integer_range");
  EXPECT_EQ(fault_of("\xff"), "bad_text");
  EXPECT_EQ(fault_of(std::string_view("a\0b", 3)), "bad_text");
  EXPECT_EQ(fault_of(std::string(32 * 1024 + 1, 'x')), "text_too_long");
  EXPECT_EQ(fault_of("1", ""), "shape");
  EXPECT_EQ(fault_of("1", "a//b"), "bad_name");
  EXPECT_EQ(fault_of("1", "/a"), "bad_name");
  EXPECT_EQ(fault_of("1", "a/"), "bad_name");
  EXPECT_EQ(fault_of("1", "a\x01"), "bad_name");
  EXPECT_EQ(fault_of("1", "a\xff"), "bad_name");
  EXPECT_EQ(fault_of("1", std::string(129, 'a')), "name_too_long");
}

TEST(PayloadFormats, AreChosenByWhatIsSaidThenByTypeThenByTopic) {
  using F = PayloadFormat;
  EXPECT_EQ(choose_format("", {}, {}), F::kJson);
  EXPECT_EQ(choose_format("", {}, F::kText), F::kText);
  EXPECT_EQ(choose_format("", F::kSenmlCbor, F::kText), F::kSenmlCbor);
  EXPECT_EQ(choose_format("application/cbor", F::kSenmlCbor, F::kText), F::kCbor);
  EXPECT_EQ(choose_format("Application/SenML+JSON; charset=utf-8", {}, {}), F::kSenmlJson);
  EXPECT_EQ(choose_format("application/x-protobuf", {}, {}), F::kProtobuf);
  EXPECT_EQ(choose_format("application/vnd.google.protobuf ; a=b", {}, {}), F::kProtobuf);
  EXPECT_EQ(choose_format("application/xml", F::kJson, F::kJson), std::nullopt);
  EXPECT_EQ(choose_format("application/jsonx", {}, {}), std::nullopt);
  for (const PayloadFormatNames& names : kPayloadFormats) {
    EXPECT_EQ(names_of(names.format).media_type, names.media_type);
    EXPECT_EQ(format_of_media_type(names.media_type), names.format);
    EXPECT_EQ(format_of_coap(names.coap), names.format);
    if (names.format == F::kText) continue;
    EXPECT_EQ(format_of_extension(names.topic_extension), names.format);
  }
  EXPECT_EQ(format_of_coap(42), std::nullopt);
  EXPECT_EQ(format_of_extension(""), std::nullopt);
  EXPECT_EQ(format_of_extension(".xml"), std::nullopt);
}

}  // namespace
}  // namespace millrace::telemetry
