// SenML (RFC 8428) in both forms, with the examples of the RFC itself.
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {
namespace {

constexpr TimeUs kNow = 1'700'000'000'000'000;

class SenmlTest : public ::testing::Test {
 protected:
  std::optional<PayloadError> decode(std::string_view json) {
    return decoder_.decode(PayloadFormat::kSenmlJson, json, options(), batch_);
  }
  std::optional<PayloadError> decode_hex(std::string_view hex) {
    const auto bytes = from_hex(hex);
    EXPECT_TRUE(bytes.ok()) << hex;
    return decoder_.decode(PayloadFormat::kSenmlCbor, *bytes, options(), batch_);
  }
  DecodeOptions options() const { return {device_, prefix_, metric_, kNow}; }

  std::string_view device_ = "m1";
  std::string_view prefix_;
  std::string_view metric_;
  PayloadDecoder decoder_;
  Batch batch_;
};

TEST_F(SenmlTest, Rfc8428Section511ASinglePoint) {
  ASSERT_FALSE(decode(R"([{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}])"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"urn:dev:ow:10e2073a01080063", 23.1, {}}}));
}

TEST_F(SenmlTest, Rfc8428Section512BaseNameAndBaseTime) {
  ASSERT_FALSE(decode(R"([
     {"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
     {"n":"current","u":"A","v":1.2}])"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"urn:dev:ow:10e2073a01080063:voltage", 120.1, {}},
                                               {"urn:dev:ow:10e2073a01080063:current", 1.2, {}}}));
  device_ = "10e2073a0108006";
  const std::string_view timed = R"([
     {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
     {"n":"current","t":-5,"v":1.2},
     {"n":"current","t":-4,"v":1.3},
     {"n":"current","t":-3,"v":1.4},
     {"n":"current","t":-2,"v":1.5},
     {"n":"current","t":-1,"v":1.6},
     {"n":"current","v":1.7}])";
  ASSERT_FALSE(decode(timed));
  constexpr TimeUs kBase = 1'276'020'076'001'000;
  std::vector<Point> expected{{"voltage", 120.1, kBase}};
  for (int i = 0; i < 6; ++i) expected.push_back({"current", (12 + i) / 10.0, kBase - (5 - i) * kUsPerSecond});
  EXPECT_EQ(batch_.points, expected);
}

// Section 6: the same pack as CBOR.
constexpr std::string_view kRfcCbor =
    "87a721781b75726e3a6465763a6f773a31306532303733613031303830303"
    "63a22fb41d303a15b00106223614120050067766f6c74616765016156"
    "02fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccd"
    "a3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00"
    "a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333";

TEST_F(SenmlTest, Rfc8428Section6TheDumpOfTheRfc) {
  device_ = "10e2073a0108006";
  ASSERT_FALSE(decode_hex(kRfcCbor));
  constexpr TimeUs kBase = 1'276'020'076'001'000;
  std::vector<Point> expected{{"voltage", 120.1, kBase}};
  for (int i = 0; i < 6; ++i) expected.push_back({"current", (12 + i) / 10.0, kBase - (5 - i) * kUsPerSecond});
  EXPECT_EQ(batch_.points, expected);
}

TEST_F(SenmlTest, Rfc8428Section513TheUnitNamesWhatTheDeviceItselfMeasures) {
  device_ = "10e2073a01080063";
  ASSERT_FALSE(decode(R"([
     {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
     {"u":"lon","v":24.30621},
     {"u":"lat","v":60.07965},
     {"t":60,"v":20.3},
     {"u":"%EL","t":150,"v":98}])"));
  constexpr TimeUs kBase = 1'320'067'464 * kUsPerSecond;
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"%RH", std::int64_t{20}, kBase},
                                               {"lon", 24.30621, kBase},
                                               {"lat", 60.07965, kBase},
                                               {"%RH", 20.3, kBase + 60 * kUsPerSecond},
                                               {"%EL", std::int64_t{98}, kBase + 150 * kUsPerSecond}}));
}

TEST_F(SenmlTest, TwoUnitsUnderOneNameWouldOverwriteEachOther) {
  const auto error = decode(R"([{"n":"a","u":"lon","v":24.3},{"n":"b","u":"lat","v":1},{"n":"a","u":"lat","v":60.1}])");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault, PayloadFault::kShape);
  EXPECT_EQ(error->element, 2U);
  EXPECT_NE(error->message.find("'a' comes with the units 'lon' and 'lat'"), std::string::npos) << error->message;
  EXPECT_FALSE(decode(R"([{"n":"a","u":"lon","v":24.3},{"n":"a","v":1},{"n":"b","u":"lat","v":60.1}])"));
}

TEST_F(SenmlTest, Rfc8428Section515EveryKindOfValue) {
  device_ = "10e2073a01080063";
  ASSERT_FALSE(decode(R"([
    {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
    {"n":"label","vs":"Machine Room"},
    {"n":"open","vb":false},
    {"n":"nfv-reader","vd":"aGkgCg"}])"));
  const std::vector<Point> expected{{"temp", 23.1, {}},
                                    {"label", std::string("Machine Room"), {}},
                                    {"open", false, {}},
                                    {"nfv-reader", std::string("aGkgCg"), {}}};
  EXPECT_EQ(batch_.points, expected);
  // The same as CBOR: there data are bytes.
  const auto error = decode_hex(
      "84a321781c75726e3a6465763a6f773a313065323037336130313038303036333a006474656d7002fb403719999999999a"
      "a200656c6162656c036c4d616368696e6520526f6f6da200646f70656e04f4"
      "a2006a6e66762d72656164657208446869200a");
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(batch_.points, expected);
}

TEST_F(SenmlTest, Rfc8428Section516ANewBaseNameKeepsTheBaseTime) {
  ASSERT_FALSE(decode(R"([
     {"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},
     {"n":"humidity","u":"%RH","v":30},
     {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
     {"n":"humidity","u":"%RH","v":67}])"));
  constexpr TimeUs kBase = 1'320'078'429 * kUsPerSecond;
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"2001:db8::2/temperature", 25.2, kBase},
                                               {"2001:db8::2/humidity", std::int64_t{30}, kBase},
                                               {"2001:db8::1/temperature", 12.3, kBase},
                                               {"2001:db8::1/humidity", std::int64_t{67}, kBase}}));
}

TEST_F(SenmlTest, Rfc8428Section517ARecordOfBaseFieldsAloneIsNoReading) {
  ASSERT_FALSE(decode(R"([{"bn":"m1:"},{"n":"temp","u":"Cel","v":23.1},{"n":"fan","u":"/","v":0}])"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"temp", 23.1, {}}, {"fan", std::int64_t{0}, {}}}));
}

TEST_F(SenmlTest, TimesBelowTwoToThe28AreRelativeToTheArrival) {
  ASSERT_FALSE(decode(R"([{"n":"a","t":-5,"v":1},{"n":"b","t":0,"v":1},{"n":"c","v":1},{"n":"d","t":-0.25,"v":1},
                          {"n":"e","t":268435455,"v":1},{"n":"f","t":268435456,"v":1},
                          {"bt":-10,"n":"g","v":1},{"n":"h","t":10,"v":1}])"));
  const auto time = [&](std::size_t i) { return batch_.points[i].time; };
  EXPECT_EQ(time(0), kNow - 5 * kUsPerSecond);
  EXPECT_EQ(time(1), std::nullopt) << "now: stamped like every reading without a time";
  EXPECT_EQ(time(2), std::nullopt);
  EXPECT_EQ(time(3), kNow - 250'000);
  EXPECT_EQ(time(4), kNow + 268'435'455 * kUsPerSecond);
  EXPECT_EQ(time(5), 268'435'456 * kUsPerSecond);
  EXPECT_EQ(time(6), kNow - 10 * kUsPerSecond);
  EXPECT_EQ(time(7), std::nullopt) << "the sum counts";
}

TEST_F(SenmlTest, BaseValueAndBaseSumAreAdded) {
  ASSERT_FALSE(decode(R"([{"bn":"m1/","bv":100,"n":"a","v":5},{"n":"b","v":0.5},{"n":"c"},{"n":"d","vs":"x"}])"));
  EXPECT_EQ(
      batch_.points,
      (std::vector<Point>{
          {"a", std::int64_t{105}, {}}, {"b", 100.5, {}}, {"c", std::int64_t{100}, {}}, {"d", std::string("x"), {}}}));
  ASSERT_FALSE(
      decode(R"([{"n":"a","v":5,"s":1000,"t":-1},{"n":"b","s":7.5},{"bs":10,"n":"c","s":1},{"n":"d","v":2}])"));
  const TimeUs before = kNow - kUsPerSecond;
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"a", std::int64_t{5}, before},
                                               {"a.sum", std::int64_t{1000}, before},
                                               {"b.sum", 7.5, {}},
                                               {"c.sum", std::int64_t{11}, {}},
                                               {"d", std::int64_t{2}, {}},
                                               {"d.sum", std::int64_t{10}, {}}}));
}

TEST_F(SenmlTest, IntegersStayExact) {
  ASSERT_FALSE(decode(R"([{"n":"a","v":9007199254740993},{"n":"b","v":-9223372036854775808}])"));
  EXPECT_EQ(batch_.points[0].value, Value(std::int64_t{9007199254740993}));
  EXPECT_EQ(batch_.points[1].value, Value(std::numeric_limits<std::int64_t>::min()));
  // {n: "a", v: 9223372036854775807}
  ASSERT_FALSE(decode_hex("81a2006161021b7fffffffffffffff"));
  EXPECT_EQ(batch_.points[0].value, Value(std::numeric_limits<std::int64_t>::max()));
}

TEST_F(SenmlTest, CborNumbersMayBeDecimalFractions) {
  // v: 4([-2, 27315]), 4([0, 7]), 4([400, 0]), 4([-400, 1])
  ASSERT_FALSE(decode_hex("84a200616102c48221196ab3a200616202c4820007a200616302c48219019000a200616402c48239018f01"));
  EXPECT_EQ(batch_.points,
            (std::vector<Point>{{"a", 273.15, {}}, {"b", std::int64_t{7}, {}}, {"c", 0.0, {}}, {"d", 0.0, {}}}));
}

TEST_F(SenmlTest, TheDevicesOwnIdIsNoPartOfTheMetric) {
  const auto metric_of = [&](std::string_view name) {
    const auto error = decode(R"([{"n":")" + std::string(name) + R"(","u":"Cel","v":1}])");
    return error ? error->message : batch_.points[0].metric;
  };
  EXPECT_EQ(metric_of("m1:temp"), "temp");
  EXPECT_EQ(metric_of("m1/temp"), "temp");
  EXPECT_EQ(metric_of("urn:dev:os:m1_temp"), "temp");
  EXPECT_EQ(metric_of("urn:dev:os:m1"), "Cel");
  EXPECT_EQ(metric_of("m1.temp"), "m1.temp");
  EXPECT_EQ(metric_of("m10:temp"), "m10:temp");
  EXPECT_EQ(metric_of("urn:dev:os:m2:temp"), "urn:dev:os:m2:temp");
  prefix_ = "status.";
  metric_ = "pump/2";
  EXPECT_EQ(metric_of("m1:temp"), "status.pump.2.temp");
}

TEST_F(SenmlTest, ExtensionsArePassedOverUnlessTheyMustBeUnderstood) {
  EXPECT_FALSE(decode(R"([{"n":"a","v":1,"vlo":"0:1","ext":{"x":[1,{}]},"ut":30}])"));
  // {"ext": {"x": [1, {_ }]}, 0: "a", 99: [_ 1, 2], 2: 1}, and the label "n" as text
  EXPECT_FALSE(decode_hex("81a463657874a161788201bfff00616118639f0102ff0201"));
  EXPECT_FALSE(decode_hex("81a2616e61610201"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"a", std::int64_t{1}, {}}}));
  const auto error = decode(R"([{"n":"a","v":1},{"n":"b","v":1,"must_":1}])");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault, PayloadFault::kUnsupported);
  EXPECT_EQ(error->element, 1U);
  EXPECT_NE(error->message.find("'must_'"), std::string::npos);
}

struct Refused {
  const char* payload;
  PayloadFault fault;
  std::optional<std::size_t> element;
};
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.payload; }

class SenmlJsonRefused : public ::testing::TestWithParam<Refused> {};
TEST_P(SenmlJsonRefused, WithItsReasonAndItsRecord) {
  PayloadDecoder decoder;
  Batch batch;
  const auto error = decoder.decode(PayloadFormat::kSenmlJson, GetParam().payload, {"m1", "", "", kNow}, batch);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(to_string(error->fault), to_string(GetParam().fault)) << error->message;
  EXPECT_EQ(error->element, GetParam().element) << error->message;
}
INSTANTIATE_TEST_SUITE_P(
    Table, SenmlJsonRefused,
    ::testing::Values(Refused{"", PayloadFault::kEmpty, {}}, Refused{"[", PayloadFault::kSyntax, {}},
                      Refused{R"({"n":"a","v":1})", PayloadFault::kShape, {}}, Refused{"[1]", PayloadFault::kShape, 0},
                      Refused{"[]", PayloadFault::kNoPoints, {}},
                      Refused{R"([{"bn":"m1:"}])", PayloadFault::kNoPoints, {}},
                      Refused{R"([{"n":"a","v":1},{"n":"b"}])", PayloadFault::kShape, 1},
                      Refused{R"([{"n":"a","v":1,"vb":true}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":"a","v":"1"}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":1,"v":1}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":"a","v":null}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":"a","v":1,"v":2}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":"a","vd":"a+b="}])", PayloadFault::kShape, 0},
                      Refused{R"([{"n":"a","vd":"abcde"}])", PayloadFault::kShape, 0},
                      Refused{R"([{"v":1}])", PayloadFault::kBadName, 0},
                      Refused{R"([{"n":"a b","v":1}])", PayloadFault::kBadName, 0},
                      Refused{R"([{"n":"_a","v":1}])", PayloadFault::kBadName, 0},
                      Refused{R"([{"bn":"é","n":"a","v":1}])", PayloadFault::kBadName, 0},
                      Refused{R"([{"bver":11,"n":"a","v":1}])", PayloadFault::kUnsupported, 0},
                      Refused{R"([{"bver":1.5,"n":"a","v":1}])", PayloadFault::kUnsupported, 0},
                      Refused{R"([{"n":"a","v":9223372036854775808}])", PayloadFault::kIntegerRange, 0},
                      Refused{R"([{"bv":9223372036854775807,"n":"a","v":1}])", PayloadFault::kIntegerRange, 0},
                      Refused{R"([{"bv":1e308,"n":"a","v":1e308}])", PayloadFault::kNotFinite, 0},
                      Refused{R"([{"n":"a","v":1,"t":1e300}])", PayloadFault::kTimeRange, 0},
                      Refused{R"([{"n":"a","v":1,"t":5000000000}])", PayloadFault::kTimeRange, 0},
                      Refused{R"([{"n":"a","v":1,"t":-5000000000}])", PayloadFault::kTimeRange, 0},
                      Refused{R"([{"n":"a","vs":"\u0000"}])", PayloadFault::kBadText, 0}));

class SenmlCborRefused : public ::testing::TestWithParam<Refused> {};
TEST_P(SenmlCborRefused, WithItsReasonAndItsRecord) {
  PayloadDecoder decoder;
  Batch batch;
  const std::string bytes = *from_hex(GetParam().payload);
  const auto error = decoder.decode(PayloadFormat::kSenmlCbor, bytes, {"m1", "", "", kNow}, batch);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(to_string(error->fault), to_string(GetParam().fault)) << error->message;
  EXPECT_EQ(error->element, GetParam().element) << error->message;
  EXPECT_LE(error->offset.value_or(0), bytes.size());
}
INSTANTIATE_TEST_SUITE_P(
    Table, SenmlCborRefused,
    ::testing::Values(Refused{"81", PayloadFault::kSyntax, {}}, Refused{"81a2006161", PayloadFault::kSyntax, 0},
                      Refused{"81a200616102", PayloadFault::kSyntax, 0},
                      Refused{"81a2006161020100", PayloadFault::kSyntax, {}},
                      Refused{"9bffffffffffffffffa20061610201", PayloadFault::kSyntax, {}},
                      Refused{"81bbffffffffffffffff0061610201", PayloadFault::kSyntax, 0},
                      Refused{"a20061610201", PayloadFault::kShape, {}}, Refused{"8101", PayloadFault::kShape, 0},
                      Refused{"81a240616100", PayloadFault::kShape, 0},
                      Refused{"81a200616102fb7ff8000000000000", PayloadFault::kNotFinite, 0},
                      Refused{"81a200616102f97c00", PayloadFault::kNotFinite, 0},
                      Refused{"81a2006161021b8000000000000000", PayloadFault::kIntegerRange, 0},
                      Refused{"81a200616102c48219019001", PayloadFault::kNotFinite, 0},
                      Refused{"81a200616102c4830102", PayloadFault::kShape, 0},
                      Refused{"81a200616102c48221c24101", PayloadFault::kShape, 0},
                      Refused{"81a200616102c11a6553f100", PayloadFault::kShape, 0},
                      Refused{"81a20061610361ff", PayloadFault::kBadText, 0},
                      Refused{"81a200616108616b", PayloadFault::kShape, 0},
                      Refused{"81a2006161037f6161ff", PayloadFault::kShape, 0},
                      Refused{"81a1617881818181818181818181818181818100", PayloadFault::kTooDeep, 0}));

}  // namespace
}  // namespace millrace::telemetry
