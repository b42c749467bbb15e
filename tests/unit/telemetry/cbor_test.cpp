#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {
namespace {

class CborTest : public ::testing::Test {
 protected:
  std::optional<PayloadError> decode(std::string_view hex) {
    const auto bytes = from_hex(hex);
    EXPECT_TRUE(bytes.ok()) << hex;
    return decoder_.decode(PayloadFormat::kCbor, *bytes, {"m1", ""}, batch_);
  }

  PayloadDecoder decoder_;
  Batch batch_;
};

TEST_F(CborTest, EveryKindOfValueIsKept) {
  // {"i": 7, "n": -10, "h": 1.5 (half), "f": 21.5 (single), "d": 0.1 (double), "whole": 2.0, "b": true, "s": "ü",
  //  "null": null, "u": undefined, "a": [1, "x"], "o": {"p": -1}}
  ASSERT_FALSE(decode(
      "ac616907616e296168f93e006166fa41ac00006164fb3fb999999999999a6577686f6c65f940006162f5617362c3bc646e756c6cf6"
      "6175f761618201617861"
      "6fa1617020"));
  const std::vector<Point> expected{{"i", std::int64_t{7}, {}},
                                    {"n", std::int64_t{-10}, {}},
                                    {"h", 1.5, {}},
                                    {"f", 21.5, {}},
                                    {"d", 0.1, {}},
                                    {"whole", 2.0, {}},
                                    {"b", true, {}},
                                    {"s", std::string("ü"), {}},
                                    {"a", Json{"[1,\"x\"]"}, {}},
                                    {"o.p", std::int64_t{-1}, {}}};
  EXPECT_EQ(batch_.points, expected);
}

TEST_F(CborTest, TheWholeRangeOfIntegersIsExact) {
  ASSERT_FALSE(decode("a261611b7fffffffffffffff61623b7fffffffffffffff"));
  EXPECT_EQ(batch_.points[0].value, Value(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(batch_.points[1].value, Value(std::numeric_limits<std::int64_t>::min()));
}

TEST_F(CborTest, TimesMayBeTaggedAndShapesAreThoseOfJson) {
  // [{"ts": 1(1700000000), "values": {"p": 1}}, {"ts": 0("2026-01-02T03:04:05Z"), "p": 2}], self-described
  ASSERT_FALSE(decode(
      "d9d9f782a2627473c11a6553f1006676616c756573a1617001a2627473c074323032362d30312d30325430333a30343a30355a617002"));
  ASSERT_EQ(batch_.points.size(), 2U);
  EXPECT_EQ(batch_.points[0].time, TimeUs{1'700'000'000} * kUsPerSecond);
  EXPECT_EQ(batch_.points[1].time, TimeUs{1'767'323'045} * kUsPerSecond);
}

TEST_F(CborTest, ItemsOfOpenLengthAreTheSame) {
  // {_ "a": [_ 1, 2], "t": (_ "x", "y")}
  ASSERT_FALSE(decode("bf61619f0102ff61747f61786179ffff"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"a", Json{"[1,2]"}, {}}, {"t", std::string("xy"), {}}}));
}

TEST_F(CborTest, TextsThatJsonMustEscapeComeThrough) {
  ASSERT_FALSE(decode("a161616722095c0a0d1f2f"));  // "\"\t\\\n\r\x1f/"
  EXPECT_EQ(batch_.points[0].value, Value(std::string("\"\t\\\n\r\x1f/")));
}

struct Refused {
  const char* hex;
  PayloadFault fault;
  const char* why;
};
class CborRefused : public ::testing::TestWithParam<Refused> {};

TEST_P(CborRefused, WithItsReason) {
  PayloadDecoder decoder;
  Batch batch;
  const std::string bytes = *from_hex(GetParam().hex);
  const auto error = decoder.decode(PayloadFormat::kCbor, bytes, {"m1", ""}, batch);
  ASSERT_TRUE(error.has_value()) << GetParam().why;
  EXPECT_EQ(to_string(error->fault), to_string(GetParam().fault)) << error->message;
  EXPECT_LE(error->offset.value_or(0), bytes.size());
}

INSTANTIATE_TEST_SUITE_P(
    Table, CborRefused,
    ::testing::Values(
        Refused{"", PayloadFault::kEmpty, "nothing"}, Refused{"a16161", PayloadFault::kSyntax, "a value is missing"},
        Refused{"a161", PayloadFault::kSyntax, "a key is cut"}, Refused{"a1616101ff", PayloadFault::kSyntax, "goes on"},
        Refused{"bb800000000000000161610161620261630361640461", PayloadFault::kSyntax, "2^63+1 pairs"},
        Refused{"a16161ff", PayloadFault::kSyntax, "a break in a map of fixed length"},
        Refused{"bf6161ff", PayloadFault::kSyntax, "a break after a key"},
        Refused{"ff", PayloadFault::kSyntax, "a break"}, Refused{"a161611c", PayloadFault::kSyntax, "a reserved head"},
        Refused{"a1616161ff", PayloadFault::kSyntax, "a text that is not UTF-8"},
        Refused{"a161617f01ff", PayloadFault::kSyntax, "a number among the parts of a text"},
        Refused{"a10102", PayloadFault::kShape, "a number as key"},
        Refused{"07", PayloadFault::kShape, "a bare number"},
        Refused{"a161614101", PayloadFault::kShape, "a byte string"},
        Refused{"a16161c48221196ab3", PayloadFault::kShape, "a decimal fraction"},
        Refused{"a16161f97e00", PayloadFault::kNotFinite, "NaN"},
        Refused{"a16161fa7f800000", PayloadFault::kNotFinite, "infinity"},
        Refused{"a161611b8000000000000000", PayloadFault::kIntegerRange, "2^63"},
        Refused{"a161613b8000000000000000", PayloadFault::kIntegerRange, "-2^63 - 1"},
        Refused{"8181818181818181818181818181818181", PayloadFault::kTooDeep, "17 levels"},
        Refused{"a16161f6", PayloadFault::kNoPoints, "null only"},
        Refused{"a1616163610062", PayloadFault::kBadText, "NUL in a text"}));

TEST(CborFault, NamesTheElementItLiesIn) {
  PayloadDecoder decoder;
  Batch batch;
  const auto error_of = [&](std::string_view hex) {
    return decoder.decode(PayloadFormat::kCbor, from_hex(hex).value(), {}, batch);
  };
  EXPECT_EQ(error_of("82a1616101a16161f97e00")->element, 1U);
  EXPECT_EQ(error_of("82a1616101")->element, std::nullopt) << "it ends between two";
  EXPECT_EQ(error_of("a16161f97e00")->element, std::nullopt);
}

}  // namespace
}  // namespace millrace::telemetry
