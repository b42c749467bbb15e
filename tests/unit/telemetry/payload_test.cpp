#include <gtest/gtest.h>

#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {
namespace {

class PayloadTest : public ::testing::Test {
 protected:
  std::optional<PayloadError> decode(std::string_view json) {
    return decoder_.decode(PayloadFormat::kJson, json, {"m1", prefix_}, batch_);
  }

  void expect_fault(std::string_view json, PayloadFault fault) {
    const auto error = decode(json);
    ASSERT_TRUE(error.has_value()) << json;
    EXPECT_EQ(to_string(error->fault), to_string(fault)) << json << ": " << error->message;
    EXPECT_FALSE(error->message.empty());
  }

  PayloadDecoder decoder_;
  Batch batch_;
  std::string prefix_;
};

TEST_F(PayloadTest, FlatObject) {
  ASSERT_FALSE(decode(R"({"t":21.5,"n":7,"on":true,"s":"x","skip":null,"a":[1, 2.5],"o":{"p":{"q":1}}})"));
  const std::vector<Point> expected{{"t", 21.5, {}},
                                    {"n", std::int64_t{7}, {}},
                                    {"on", true, {}},
                                    {"s", std::string("x"), {}},
                                    {"a", Json{"[1,2.5]"}, {}},
                                    {"o.p.q", std::int64_t{1}, {}}};
  EXPECT_EQ(batch_.points, expected);
  EXPECT_FALSE(batch_.event_time.has_value());
}

TEST_F(PayloadTest, IntegersBeyondTwoToThe53StayExact) {
  ASSERT_FALSE(decode(R"({"a":9007199254740993,"b":-9223372036854775808,"c":9223372036854775807})"));
  EXPECT_EQ(std::get<std::int64_t>(batch_.points[0].value), 9007199254740993);
  EXPECT_EQ(std::get<std::int64_t>(batch_.points[1].value), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(std::get<std::int64_t>(batch_.points[2].value), std::numeric_limits<std::int64_t>::max());
}

TEST_F(PayloadTest, TimeOfTheWholeMessage) {
  for (const char* json : {R"({"ts":1467331200,"a":1})", R"({"timestamp":1467331200000,"a":1})",
                           R"({"time":1467331200000000,"a":1})", R"({"ts":1467331200000000000,"a":1})",
                           R"({"a":1,"ts":"2016-07-01T00:00:00Z"})", R"({"ts":1467331200.0,"values":{"a":1}})"}) {
    ASSERT_FALSE(decode(json)) << json;
    EXPECT_EQ(batch_.event_time, 1467331200000000) << json;
    ASSERT_EQ(batch_.points.size(), 1U);
    EXPECT_EQ(batch_.points[0].metric, "a");
  }
}

TEST_F(PayloadTest, ArrayGivesEachElementItsTime) {
  ASSERT_FALSE(decode(R"([{"ts":1,"values":{"a":1,"b":2}},{"a":3}])"));
  EXPECT_FALSE(batch_.event_time.has_value());
  ASSERT_EQ(batch_.points.size(), 3U);
  EXPECT_EQ(batch_.points[0].time, 1000000);
  EXPECT_EQ(batch_.points[1].time, 1000000);
  EXPECT_FALSE(batch_.points[2].time.has_value());
}

TEST_F(PayloadTest, ValuesBesideOtherMembersIsANestedObject) {
  ASSERT_FALSE(decode(R"({"values":{"a":1},"b":2})"));
  ASSERT_EQ(batch_.points.size(), 2U);
  EXPECT_EQ(batch_.points[0].metric, "values.a");
}

TEST_F(PayloadTest, DeviceIdMustNameTheDevice) {
  EXPECT_FALSE(decode(R"({"device_id":"m1","a":1})"));
  expect_fault(R"({"device_id":"m2","a":1})", PayloadFault::kWrongDevice);
  expect_fault(R"({"device_id":1,"a":1})", PayloadFault::kWrongDevice);
}

TEST_F(PayloadTest, PrefixStandsBeforeEachName) {
  prefix_ = "status.";
  ASSERT_FALSE(decode(R"({"up":true})"));
  EXPECT_EQ(batch_.points[0].metric, "status.up");
}

TEST_F(PayloadTest, ABackslashThatIsEscapedBeginsNoEscape) {
  ASSERT_FALSE(decode(R"({"a":["\\u0000"]})"));
  EXPECT_EQ(batch_.points[0].value, Value(Json{R"(["\\u0000"])"}));
}

TEST_F(PayloadTest, EveryFaultHasItsReason) {
  expect_fault("", PayloadFault::kEmpty);
  expect_fault("{", PayloadFault::kSyntax);
  expect_fault("hello", PayloadFault::kSyntax);
  expect_fault(R"({"a":1}x)", PayloadFault::kSyntax);
  expect_fault("{\"a\":\"\xff\"}", PayloadFault::kSyntax);
  expect_fault(R"({"a":"\ud800"})", PayloadFault::kSyntax);
  expect_fault(R"({"a":NaN})", PayloadFault::kNotFinite);
  expect_fault(R"({"a": -Infinity})", PayloadFault::kNotFinite);
  expect_fault(R"({"a":1e999})", PayloadFault::kNotFinite);
  expect_fault(R"({"a":9223372036854775808})", PayloadFault::kIntegerRange);
  expect_fault(R"({"a":99999999999999999999999})", PayloadFault::kIntegerRange);
  // Sixteen levels are allowed, though no message looks like that.
  expect_fault(std::string(16, '[') + "1" + std::string(16, ']'), PayloadFault::kShape);
  expect_fault(std::string(17, '[') + "1" + std::string(17, ']'), PayloadFault::kTooDeep);
  expect_fault(std::string(16, '[') + "1,[]" + std::string(16, ']'), PayloadFault::kShape);
  expect_fault(std::string(40, '[') + std::string(40, ']'), PayloadFault::kTooDeep);
  expect_fault(std::string(100000, '['), PayloadFault::kTooDeep);
  expect_fault("3", PayloadFault::kShape);
  expect_fault("[3]", PayloadFault::kShape);
  expect_fault("{}", PayloadFault::kNoPoints);
  expect_fault("[]", PayloadFault::kNoPoints);
  expect_fault(R"({"a":null,"ts":1})", PayloadFault::kNoPoints);
  expect_fault(R"({"":1})", PayloadFault::kBadName);
  expect_fault(R"({"a\u0000":1})", PayloadFault::kBadName);
  expect_fault(R"({"a\n":1})", PayloadFault::kBadName);
  expect_fault("{\"" + std::string(129, 'n') + "\":1}", PayloadFault::kNameTooLong);
  expect_fault(R"({"a":"\u0000"})", PayloadFault::kBadText);
  expect_fault(R"({"a":["\u0000"]})", PayloadFault::kBadText);
  expect_fault(R"({"a":["\\\u0000"]})", PayloadFault::kBadText);
  expect_fault("{\"a\":\"" + std::string(33000, 'x') + "\"}", PayloadFault::kTextTooLong);
  expect_fault(R"({"ts":"yesterday","a":1})", PayloadFault::kBadTime);
  expect_fault(R"({"ts":true,"a":1})", PayloadFault::kBadTime);
  expect_fault(R"({"ts":1,"time":2,"a":1})", PayloadFault::kBadTime);
  expect_fault(R"({"ts":-1,"a":1})", PayloadFault::kTimeRange);
  expect_fault(R"({"ts":"2100-01-01T00:00:00Z","a":1})", PayloadFault::kTimeRange);
  expect_fault("{\"a\":\"" + std::string(300000, 'x') + "\"}", PayloadFault::kTooLarge);
  std::string many = "{";
  for (int i = 0; i < 1001; ++i) many += (i != 0 ? ",\"m" : "\"m") + std::to_string(i) + "\":1";
  expect_fault(many + "}", PayloadFault::kTooManyPoints);
}

TEST_F(PayloadTest, SyntaxFaultNamesTheByte) {
  const auto error = decode(R"({"a":1,})");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->offset, 7U) << error->message;
  const auto cut = decode(R"({"a":1)");
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->offset, 6U) << cut->message;
}

TEST_F(PayloadTest, AFaultInAnArrayNamesTheElement) {
  const auto error = decode(R"([{"a":1},{"":2}])");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->element, 1U);
  EXPECT_NE(error->message.find("element 1"), std::string::npos);
}

TEST_F(PayloadTest, AFaultThatTheParserFindsNamesTheElementToo) {
  struct Case {
    std::string payload;
    std::optional<std::size_t> element;
  };
  for (const Case& one :
       {Case{R"([{"a":1},{"a":1e999}])", 1}, Case{R"([{"a":99999999999999999999999}])", 0},
        Case{R"([{"a":[1,[2]]},{"b":2},{"a":x}])", 2}, Case{"[{\"a\":1},3,1e999]", 2},
        Case{R"([{"a":1},)" + std::string(40, '[') + std::string(40, ']') + "]", 1},
        Case{R"([{"a":1} x)", std::nullopt}, Case{R"({"a":[1,1e999]})", std::nullopt}, Case{"", std::nullopt}}) {
    const auto error = decode(one.payload);
    ASSERT_TRUE(error.has_value()) << one.payload;
    EXPECT_EQ(error->element, one.element) << one.payload << ": " << error->message;
    EXPECT_EQ(error->message.starts_with("element "), one.element.has_value()) << error->message;
  }
}

TEST_F(PayloadTest, AnotherShapeIsToldWhichOnesThereAre) {
  EXPECT_EQ(decode("42")->message, "a payload must be an object or an array of objects");
  EXPECT_EQ(decode("[42]")->message, "element 0: a message must be an object");
}

TEST_F(PayloadTest, AFaultDoesNotLeakIntoTheNextMessage) {
  expect_fault(R"({"a":1,"b":2,"":3})", PayloadFault::kBadName);
  ASSERT_FALSE(decode(R"({"c":4})"));
  EXPECT_EQ(batch_.points, (std::vector<Point>{{"c", std::int64_t{4}, {}}}));
}

TEST(TimeFromNumber, MagnitudeTellsTheUnit) {
  EXPECT_EQ(time_from_number(std::int64_t{99'999'999'999}), 99'999'999'999'000'000);
  EXPECT_EQ(time_from_number(std::int64_t{100'000'000'000}), 100'000'000'000'000);
  EXPECT_EQ(time_from_number(std::int64_t{100'000'000'000'000}), 100'000'000'000'000);
  EXPECT_EQ(time_from_number(std::int64_t{100'000'000'000'000'000}), 100'000'000'000'000);
  EXPECT_EQ(time_from_number(1467331200.25), TimeUs{1467331200250000});
  EXPECT_FALSE(time_from_number(1e300).has_value());
}

}  // namespace
}  // namespace millrace::telemetry
