// The writer's rules and the tiers against a naive oracle: random points, at every stage of their day's life.
#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <set>

#include "days_fixture.hpp"

namespace millrace::writer {
namespace {

struct Point {
  TimeUs time = 0;
  double value = 0;
  bool operator<(const Point& other) const { return std::tie(time, value) < std::tie(other.time, other.value); }
};

// What must be stored: a device's time once with the last value, every point without time.
struct Oracle {
  std::map<std::pair<std::int32_t, TimeUs>, double> timed;  // by device and time
  std::map<std::int32_t, std::multiset<double>> untimed;    // values by device
};

class DaysOracleTest : public DaysTest {
 protected:
  static constexpr std::int32_t kDevices = 3;
  static constexpr std::int32_t kMetric = 1;
  static constexpr int kDays = 3;

  void SetUp() override {
    DaysTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    store_ = std::make_unique<Store>(options_, "t");
    ASSERT_TRUE(store_->connect());
    ASSERT_TRUE(store_->create_offset(0, 0, "cluster"));
    script("SELECT storage.ensure_days((SELECT array_agg(date '2024-10-04' + i) FROM generate_series(-1, 3) i))");
  }

  // Most on a grid of ten minutes, which repeats; some on the borders of days; one in four without a time.
  Row random_row() {
    Row row;
    row.device = 1 + static_cast<std::int32_t>(random_() % kDevices);
    row.timed = random_() % 4 > 0;
    row.time = kFirst + static_cast<TimeUs>(random_() % (144 * kDays)) * 600 * kUsPerSecond;
    if (random_() % 10 == 0)
      row.time = kFirst + static_cast<TimeUs>(random_() % (kDays + 1)) * kDay - (random_() % 2 == 0 ? 1 : 0);
    row.time = std::clamp(row.time, kFirst, kFirst + kDays * kDay - 1);
    row.cell.number = static_cast<double>(random_() % 500) / 10;
    row.log_time = kFirst + 10 * kDay;
    row.offset = offset_;
    return row;
  }

  Batch random_batch(int rows) {
    Batch batch;
    for (int i = 0; i < rows; ++i) {
      batch.rows.push_back(random_row());
      const Row& row = batch.rows.back();
      if (row.timed) {
        oracle_.timed[{row.device, row.time}] = row.cell.number;
      } else {
        oracle_.untimed[row.device].insert(row.cell.number);
      }
    }
    Slice slice;
    slice.begin = offset_;
    slice.end = ++offset_;
    slice.log_time = kFirst + 10 * kDay;
    slice.hours.push_back({slice.log_time, slice.begin, slice.end});
    batch.slices.emplace(0, std::move(slice));
    return batch;
  }

  static std::vector<Row> at_offset(std::vector<Row> rows, std::int64_t offset) {
    for (Row& row : rows) row.offset = offset;
    return rows;
  }

  Result<Changes> resolved(const Batch& batch) {
    const std::vector<std::int32_t> ids{kMetric};
    return resolve(batch, ids, series_, *store_);
  }

  Status commit(const Batch& batch, const Changes& changes) {
    std::vector<std::size_t> order(changes.inserts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::optional<std::int32_t> fenced;
    const Status done = store_->commit({&batch, &changes, order}, fenced);
    EXPECT_FALSE(fenced);
    if (!done) return done;
    for (const NewSample& one : changes.inserts) series_.offer(one.key.series, 0, one.key.time, one.cell, true);
    for (const MovedSample& one : changes.moved) series_.offer({one.from.series}, 0, one.to, one.cell, true);
    EXPECT_TRUE(store_->flush_latest(series_.pending(), {}, fenced));
    series_.flushed();
    return done;
  }

  void write(int rows) {
    const Batch batch = random_batch(rows);
    const auto changes = resolved(batch);
    ASSERT_TRUE(changes.ok()) << changes.error().message;
    const Status done = commit(batch, *changes);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  // The points of a device as the database has them, in time order.
  std::vector<std::pair<Point, bool>> stored(std::int32_t device) {
    auto rows = session_->exec("SELECT time, value, coalesce(untimed, false) FROM storage.point WHERE device_id = " +
                               std::to_string(device) + " ORDER BY time");
    std::vector<std::pair<Point, bool>> points;
    EXPECT_TRUE(rows.ok());
    for (int i = 0; rows && i < rows->size(); ++i)
      points.push_back({{rows->timestamptz(i, 0), rows->float8(i, 1)}, rows->boolean(i, 2)});
    return points;
  }

  void expect_as_the_oracle() {
    for (std::int32_t device = 1; device <= kDevices; ++device) {
      const auto points = stored(device);
      std::map<std::pair<std::int32_t, TimeUs>, double> timed;
      std::multiset<double> untimed;
      std::set<TimeUs> times;
      for (const auto& [point, without_time] : points) {
        EXPECT_TRUE(times.insert(point.time).second) << "a time twice: " << point.time;
        if (without_time) {
          untimed.insert(point.value);
        } else {
          timed[{device, point.time}] = point.value;
        }
      }
      std::map<std::pair<std::int32_t, TimeUs>, double> wanted;
      for (const auto& [key, value] : oracle_.timed) {
        if (key.first == device) wanted[key] = value;
      }
      EXPECT_EQ(timed, wanted) << "device " << device;
      EXPECT_EQ(untimed, oracle_.untimed[device]) << "device " << device;
      expect_pages(device, points);
      expect_buckets(device, points);
    }
  }

  // Pages of a random stretch, one behind the other.
  void expect_pages(std::int32_t device, const std::vector<std::pair<Point, bool>>& points) {
    const auto [from, to] = random_stretch();
    std::vector<Point> wanted;
    for (const auto& [point, untimed] : points) {
      if (point.time >= from && point.time < to) wanted.push_back(point);
    }
    std::vector<Point> got;
    TimeUs next = from;
    for (;;) {
      auto rows = session_->exec(
          "SELECT time, value FROM storage.page($1::int4, $2::int4, $3::timestamptz, $4::timestamptz, 37)",
          postgres::Params{}.integer(device).integer(kMetric).timestamptz(next).timestamptz(to));
      ASSERT_TRUE(rows.ok()) << rows.error().message;
      for (int i = 0; i < rows->size(); ++i) got.push_back({rows->timestamptz(i, 0), rows->float8(i, 1)});
      if (rows->size() < 37) break;
      next = got.back().time + 1;
    }
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].time, wanted[i].time);
      EXPECT_EQ(got[i].value, wanted[i].value);
    }
  }

  void expect_buckets(std::int32_t device, const std::vector<std::pair<Point, bool>>& points) {
    constexpr std::array<TimeUs, 6> kSteps{
        kDay, 2 * kDay, 3'600 * kUsPerSecond, 60 * kUsPerSecond, 7'000'000, 12 * 3'600 * kUsPerSecond};
    const auto [from, to] = random_stretch();
    const TimeUs step = kSteps[random_() % kSteps.size()];
    std::map<TimeUs, std::vector<Point>> wanted;
    for (const auto& [point, untimed] : points) {
      if (point.time >= from && point.time < to) wanted[point.time / step * step].push_back(point);
    }
    auto rows = session_->exec(
        "SELECT bucket, n, min, max, mean, first, last, first_time, last_time FROM storage.buckets($1::int4, $2::int4, "
        "$3::timestamptz, $4::timestamptz, $5::int8)",
        postgres::Params{}.integer(device).integer(kMetric).timestamptz(from).timestamptz(to).integer(step));
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    SCOPED_TRACE("step " + std::to_string(step) + " from " + std::to_string(from) + " to " + std::to_string(to));
    ASSERT_EQ(static_cast<std::size_t>(rows->size()), wanted.size());
    int i = 0;
    for (const auto& [start, in] : wanted) {
      double sum = 0;
      double least = in.front().value;
      double most = least;
      for (const Point& point : in) {
        sum += point.value;
        least = std::min(least, point.value);
        most = std::max(most, point.value);
      }
      EXPECT_EQ(rows->timestamptz(i, 0), start);
      EXPECT_EQ(rows->integer(i, 1), static_cast<std::int64_t>(in.size()));
      EXPECT_EQ(rows->float8(i, 2), least);
      EXPECT_EQ(rows->float8(i, 3), most);
      EXPECT_NEAR(rows->float8(i, 4), sum / static_cast<double>(in.size()), 1e-9);
      EXPECT_EQ(rows->float8(i, 5), in.front().value);
      EXPECT_EQ(rows->float8(i, 6), in.back().value);
      EXPECT_EQ(rows->timestamptz(i, 7), in.front().time);
      EXPECT_EQ(rows->timestamptz(i, 8), in.back().time);
      ++i;
    }
  }

  std::pair<TimeUs, TimeUs> random_stretch() {
    const auto any = [&] {
      TimeUs time = kFirst - kDay + static_cast<TimeUs>(random_() % (5 * 86'400)) * kUsPerSecond;
      if (random_() % 3 == 0) time = time / kDay * kDay;
      return time;
    };
    const TimeUs a = any();
    const TimeUs b = any();
    return {std::min(a, b), std::max(a, b)};
  }

  std::mt19937 random_{1};
  std::int64_t offset_ = 0;
  Oracle oracle_;
  SeriesTable series_{1'000};
  std::unique_ptr<Store> store_;
};

TEST_F(DaysOracleTest, OneAnswerAtEveryStageOfADaysLife) {
  const auto seed = static_cast<unsigned>(now_us());
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_.seed(seed);
  for (int round = 0; round < 30 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    for (int i = 0; i < 3; ++i) write(1 + static_cast<int>(random_() % 120));
    // A writer that starts anew knows its series from the database only.
    if (random_() % 3 == 0) series_.clear();
    if (random_() % 2 == 0) {
      // Between any two steps of the keeper the writer goes on.
      const DayWork work = pass([&](std::string_view step) {
        if (step.ends_with("-done") && random_() % 3 == 0) write(1 + static_cast<int>(random_() % 10));
      });
      EXPECT_EQ(work.days_failed, 0);
    }
    if (random_() % 8 == 0) {
      EXPECT_GE(ask("SELECT storage.hot_again('2024-10-05')"), 0);
    }
    expect_as_the_oracle();
  }
  EXPECT_EQ(pass().days_failed, 0);
  EXPECT_EQ(pass().days_waiting, 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0) << "in the end all is packed";
  expect_as_the_oracle();
}

TEST_F(DaysOracleTest, ADayCompactedBetweenLookUpAndCommitIsLookedUpAgain) {
  write(300);
  std::vector<Row> corrections;
  for (const auto& [key, value] : oracle_.timed) {
    Row row = random_row();
    row.device = key.first;
    row.time = key.second;
    row.timed = true;
    row.cell.number = value + 1000;
    corrections.push_back(row);
  }
  Batch batch = random_batch(0);
  batch.rows = at_offset(corrections, batch.slices.at(0).begin);
  for (auto& [key, value] : oracle_.timed) value += 1000;
  const auto before = resolved(batch);
  ASSERT_TRUE(before.ok()) << before.error().message;
  ASSERT_EQ(before->replaced.size(), corrections.size());
  ASSERT_GE(pass().days_compacted, kDays) << "and a fourth where a point without time gave way over midnight";
  ASSERT_TRUE(commit(batch, *before)) << "compacted days are opened for a correction";
  expect_as_the_oracle();
  script("DELETE FROM storage.sample WHERE device_id = 1");
  Batch again = random_batch(0);
  again.rows = at_offset(corrections, again.slices.at(0).begin);
  const Status done = commit(again, *before);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().kind, ErrorKind::kConflict) << "a correction that changes no row is not committed";
}

}  // namespace
}  // namespace millrace::writer
