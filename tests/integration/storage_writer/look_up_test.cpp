// Whether points are stored already, asked about many at once.
#include "store/look_up.hpp"

#include "days_fixture.hpp"

namespace millrace::writer {
namespace {

// A device that sends a compacted day once more: 86,400 points of it are asked about, and as many that are not there.
// A search of every point for every key would take an hour.
TEST_F(DaysTest, AWholeCompactedDayIsLookedUp) {
  script("SELECT storage.ensure_days('{2024-10-04, 2024-10-05}')");
  script(
      "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 00:00+00' + i * interval '1 second', 1, 1, i"
      " FROM generate_series(0, 86399) i");
  ASSERT_EQ(pass().days_compacted, 1);
  script(
      "INSERT INTO storage.sample VALUES ('2024-10-04 12:00:00.5+00', 1, 1, -1, NULL, NULL, true),"
      " ('2024-10-05 00:00:00+00', 1, 1, NULL, 3, 'text', NULL)");
  std::vector<SampleKey> keys;
  for (std::int64_t second = 0; second < 86'400; ++second) {
    keys.push_back({{1, 1}, kFirst + second * kUsPerSecond});
    keys.push_back({{1, 1}, kFirst + second * kUsPerSecond + 1});
  }
  keys.push_back({{1, 1}, kFirst + kDay / 2 + 500'000});
  keys.push_back({{1, 1}, kFirst + kDay});
  keys.push_back({{2, 1}, kFirst});
  options_.call_timeout = std::chrono::minutes{1};
  auto connection = postgres::Connection::open(options_);
  ASSERT_TRUE(connection.ok());
  const auto found = find_samples(**connection, keys);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->size(), 86'402U);
  std::map<TimeUs, const StoredSample*> by_time;
  for (const StoredSample& sample : *found) by_time[sample.key.time] = &sample;
  ASSERT_EQ(by_time.size(), found->size()) << "each once";
  EXPECT_EQ(by_time.at(kFirst)->cell.number, 0);
  EXPECT_EQ(by_time.at(kFirst + 86'399 * kUsPerSecond)->cell.number, 86'399);
  EXPECT_TRUE(by_time.at(kFirst + kDay / 2 + 500'000)->untimed);
  EXPECT_EQ(by_time.at(kFirst + kDay)->cell.other, "text");
  EXPECT_FALSE((*connection)->in_transaction());
}

// More than one statement unpacks.
TEST_F(DaysTest, ManySeriesAreLookedUpInStretches) {
  script("SELECT storage.ensure_days('{2024-10-04}')");
  script(
      "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 00:00+00' + i * interval '10 seconds', d, 1, d * "
      "10000 "
      "+ i FROM generate_series(0, 8639) i, generate_series(1, 60) d");
  ASSERT_EQ(pass().days_compacted, 1);
  std::vector<SampleKey> keys;
  for (std::int32_t device = 1; device <= 61; ++device) {
    for (const std::int64_t i : {0, 4'000, 8'639}) keys.push_back({{device, 1}, kFirst + i * 10 * kUsPerSecond});
    keys.push_back({{device, 1}, kFirst + 5 * kUsPerSecond});
  }
  const auto found = find_samples(*session_, keys);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->size(), 180U);
  for (const StoredSample& sample : *found) {
    const std::int64_t i = (sample.key.time - kFirst) / (10 * kUsPerSecond);
    EXPECT_EQ(sample.cell.number, sample.key.series.device * 10'000 + i);
  }
}

}  // namespace
}  // namespace millrace::writer
