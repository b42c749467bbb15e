#include <string>

#include <gtest/gtest.h>

#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {
namespace {

struct Case {
  std::string_view text;
  bool good;
};

TEST(Text, Utf8) {
  using namespace std::string_view_literals;
  const Case cases[] = {
      {"", true},
      {"plain ascii text", true},
      {"gr\xC3\xBC\xC3\x9F", true},
      {"\xE2\x82\xAC", true},
      {"\xF0\x9F\x98\x80", true},
      {"\xEF\xBB\xBF", true},  // U+FEFF is kept, [MQTT-1.5.4-3]
      {"\xEF\xBF\xBF", true},  // a non-character is only discouraged
      {"\x01\x7F", true},      // so are control characters
      {"\xF4\x8F\xBF\xBF", true},
      {"a\0b"sv, false},  // [MQTT-1.5.4-2]
      {"12345678\0"sv, false},
      {"1234567\0"sv, false},
      {"\x80", false},
      {"\xC0\x80", false},  // overlong
      {"\xC1\xBF", false},
      {"\xE0\x80\x80", false},
      {"\xE0\x9F\xBF", false},
      {"\xF0\x80\x80\x80", false},
      {"\xED\xA0\x80", false},  // surrogates, [MQTT-1.5.4-1]
      {"\xED\xBF\xBF", false},
      {"\xF4\x90\x80\x80", false},  // above U+10FFFF
      {"\xF5\x80\x80\x80", false},
      {"\xC3", false},
      {"\xE2\x82", false},
      {"\xF0\x9F\x98", false},
      {"\xC3\x28", false},
      {"12345678\xFF", false},
  };
  for (const auto& row : cases) EXPECT_EQ(valid_utf8(row.text), row.good) << row.text;
}

TEST(Text, BadBytesAreFoundAtEveryPlaceOfALongText) {
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const char bad : {'\0', '\xFF', '\x80'}) {
        std::string text(size, 'a');
        EXPECT_TRUE(valid_utf8(text));
        text[at] = bad;
        EXPECT_FALSE(valid_utf8(text));
        EXPECT_FALSE(valid_topic_name(text));
      }
    }
  }
}

// [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-3]
TEST(Text, TopicNames) {
  const Case cases[] = {{"a", true}, {"/", true},    {"a//b", true}, {"$SYS/x", true}, {" ", true},
                        {"", false}, {"a/+", false}, {"#", false},   {"a#", false},    {"+", false}};
  for (const auto& row : cases) EXPECT_EQ(valid_topic_name(row.text), row.good) << row.text;
  EXPECT_TRUE(valid_topic_name(std::string(65'535, 'a')));
  EXPECT_FALSE(valid_topic_name(std::string(65'536, 'a')));
}

// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
TEST(Text, TopicFilters) {
  const Case cases[] = {
      {"a", true},          {"#", true},           {"+", true},
      {"a/+/b/#", true},    {"/", true},           {"+/+", true},
      {"/#", true},         {"$share/g/a", true},  {"$share/g/#", true},
      {"$shared", true},    {"", false},           {"a#", false},
      {"#/a", false},       {"a+", false},         {"a/#/b", false},
      {"+a/b", false},      {"$share/g", false},   {"$share//a", false},
      {"$share/g/", false}, {"$share/+/a", false}, {"$share/g#/a", false},
      {"a/\xFF", false},
  };
  for (const auto& row : cases) EXPECT_EQ(valid_topic_filter(row.text), row.good) << row.text;
}

TEST(Text, EveryCodeAndTypeHasItsName) {
  EXPECT_EQ(to_string(ReasonCode::kPacketTooLarge), "packet too large");
  EXPECT_EQ(to_string(static_cast<ReasonCode>(0x7F)), "unknown reason code");
  EXPECT_EQ(to_string(PacketType::kPublish), "PUBLISH");
}

}  // namespace
}  // namespace millrace::mqtt
