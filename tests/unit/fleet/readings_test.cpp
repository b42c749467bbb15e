#include <set>
#include <stdexcept>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "readings/file_readings.hpp"
#include "readings/meter_readings.hpp"

namespace millrace::fleet {
namespace {

constexpr TimeUs kNow = 1'790'000'000'000'000;

std::string payload(const Readings& readings, std::size_t device, const Message& message) {
  std::string out;
  readings.write(device, message, out);
  return out;
}

TEST(MeterReadings, ThePayloadHoldsWhatTheVerifierExpects) {
  const MeterReadings readings({.seed = 7, .untimed_share = 0.5, .sequence_base = 1000}, 8);
  for (std::size_t device : {0U, 5U, 199U}) {
    for (std::uint32_t index = 1; index <= 300; ++index) {
      const auto message = readings.make(device, index, kNow + index * 1'000'000, 0);
      ASSERT_TRUE(message);
      const auto json = nlohmann::json::parse(payload(readings, device, *message));
      EXPECT_EQ(json.at("sequence").get<std::int64_t>(), 1000 + index);
      EXPECT_EQ(json.contains("ts"), message->timed);
      if (message->timed) {
        EXPECT_EQ(json.at("ts").get<std::int64_t>(), message->time_us);
      }
      for (std::size_t metric = 0; metric < readings.metrics().size(); ++metric) {
        EXPECT_EQ(json.at(readings.metrics()[metric]).get<double>(), *readings.expected(device, *message, metric));
      }
    }
  }
}

TEST(MeterReadings, AResendIsTheSameBytesAndAnotherSeedIsNot) {
  const MeterReadings a({.seed = 1}, 3), again({.seed = 1}, 3), other({.seed = 2}, 3);
  const auto message = a.make(3, 17, kNow, 0);
  EXPECT_EQ(payload(a, 3, *message), payload(again, 3, *message));
  EXPECT_NE(payload(a, 3, *message), payload(other, 3, *message));
}

TEST(MeterReadings, NamesAreLengthenedUntilThePayloadHasItsSize) {
  for (const std::size_t bytes : {0U, 50U, 200U, 300U}) {
    const MeterReadings readings({.seed = 7, .sequence_base = 100'000'000}, 2, bytes);
    const std::size_t size = payload(readings, 3, *readings.make(3, 17, kNow, 0)).size();
    EXPECT_NEAR(static_cast<double>(size), static_cast<double>(std::max<std::size_t>(bytes, 77)), 12);
  }
  // As long as names may be, and no longer.
  const MeterReadings readings({}, 2, 10'000);
  for (const std::string& name : readings.metrics()) EXPECT_EQ(name.size(), 128U);
}

TEST(MeterReadings, TheUntimedShareIsKept) {
  const MeterReadings readings({.seed = 3, .untimed_share = 0.3}, 1);
  int untimed = 0;
  for (std::uint32_t index = 1; index <= 10'000; ++index) untimed += readings.make(1, index, kNow, 0)->timed ? 0 : 1;
  EXPECT_NEAR(untimed, 3000, 200);
}

TEST(MeterReadings, TimesOfADeviceGrowEvenWhenTheClockDoesNot) {
  const MeterReadings readings({}, 1);
  EXPECT_EQ(readings.make(0, 2, kNow, kNow + 5)->time_us, kNow + 6);
  EXPECT_EQ(readings.make(0, 2, kNow, kNow - 5)->time_us, kNow);
}

TEST(MeterReadings, TheDayHasAShapeAndThereAreFaults) {
  const MeterReadings readings({.seed = 5}, 3);
  double night = 0;
  double noon = 0;
  std::set<double> voltages;
  for (std::uint32_t index = 1; index <= 2000; ++index) {
    const TimeUs midnight = kNow - kNow % 86'400'000'000;
    night += *readings.expected(0, {index, true, midnight, 0}, 1);
    noon += *readings.expected(0, {index, true, midnight + 43'200'000'000, 0}, 1);
    voltages.insert(*readings.expected(0, {index, true, midnight, 0}, 0));
  }
  EXPECT_GT(noon, night * 2) << "power";
  EXPECT_TRUE(voltages.contains(0)) << "a meter that reads 0 V now and then";
  EXPECT_GT(voltages.size(), 500U);
}

TEST(FileReadings, EveryRowWithItsTimeAndItsExactText) {
  const FileReadings readings({.sequence_base = 0},
                              "date,HUFL,OT\r\n2016-07-01 00:00:00,5.827000141143799,30.5\n"
                              "2016-07-01T01:00:00Z,,-0.25\n1467338400000,1e3,high\n",
                              SequencePoint::kLeaveOut);
  ASSERT_EQ(readings.rows(), 3U);
  EXPECT_EQ(readings.metrics(), (std::vector<std::string>{"HUFL", "OT"}));
  const auto first = readings.make(0, 1, kNow, 0);
  EXPECT_EQ(payload(readings, 0, *first), R"({"ts":1467331200000000,"HUFL":5.827000141143799,"OT":30.5})");
  EXPECT_EQ(readings.expected(0, *first, 0), 5.827000141143799);
  const auto second = readings.make(0, 2, kNow, 0);
  EXPECT_EQ(payload(readings, 0, *second), R"({"ts":1467334800000000,"OT":-0.25})");
  EXPECT_EQ(readings.expected(0, *second, 0), std::nullopt);
  const auto third = readings.make(0, 3, kNow, 0);
  EXPECT_EQ(payload(readings, 0, *third), R"({"ts":1467338400000000,"HUFL":1e3,"OT":"high"})");
  EXPECT_EQ(readings.expected(0, *third, 1), std::nullopt);
  EXPECT_EQ(readings.make(0, 4, kNow, 0), std::nullopt);
}

TEST(FileReadings, FaultsNameTheirLine) {
  const std::pair<const char*, const char*> rows[] = {{"t,a\n2016-07-01,1\nnever,2\n", "line 3"},
                                                      {"t,a\n2016-07-01,1,2\n", "line 2"},
                                                      {"t,a\n2016-07-02,1\n2016-07-01,1\n", "line 3"},
                                                      {"t,a\n", "no row"},
                                                      {"t\n2016-07-01\n", "no metric"}};
  for (const auto& [csv, text] : rows) {
    try {
      const FileReadings readings({}, csv, SequencePoint::kAdd);
      FAIL() << csv;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace millrace::fleet
