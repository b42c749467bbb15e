#include "store/resolver.hpp"

#include <map>

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

struct KeyLess {
  bool operator()(const SampleKey& a, const SampleKey& b) const {
    return std::tuple(a.series.device, a.series.metric, a.time) < std::tuple(b.series.device, b.series.metric, b.time);
  }
};

// The database as a map; counts the questions.
class Table final : public StoredSamples {
 public:
  Result<std::vector<std::optional<TimeUs>>> max_times(std::span<const SeriesKey> series) override {
    std::vector<std::optional<TimeUs>> times;
    for (const SeriesKey& key : series) {
      std::optional<TimeUs> most;
      for (const auto& [at, row] : rows) {
        if (at.series == key) most = std::max(most.value_or(at.time), at.time);
      }
      times.push_back(most);
    }
    return times;
  }
  Result<std::vector<StoredSample>> find(std::span<const SampleKey> keys) override {
    ++questions;
    std::vector<StoredSample> found;
    for (const SampleKey& key : keys) {
      if (const auto row = rows.find(key); row != rows.end())
        found.push_back({key, row->second.first, row->second.second});
    }
    return found;
  }
  // What the transaction does; a key that would be there twice is a failure of the resolver.
  void apply(const Changes& changes) {
    for (const MovedSample& moved : changes.moved) {
      const auto row = rows.at(moved.from);
      ASSERT_TRUE(row.second) << "only untimed rows move";
      rows.erase(moved.from);
      ASSERT_TRUE(rows.emplace(SampleKey{moved.from.series, moved.to}, row).second);
    }
    for (const NewSample& sample : changes.replaced) rows.at(sample.key).first = sample.cell;
    for (const NewSample& sample : changes.inserts) {
      ASSERT_TRUE(rows.emplace(sample.key, std::pair(sample.cell, sample.untimed)).second)
          << "time " << sample.key.time << " twice";
    }
  }
  double value(TimeUs time) const { return rows.at({{1, 100}, time}).first.number; }
  bool untimed(TimeUs time) const { return rows.at({{1, 100}, time}).second; }

  std::map<SampleKey, std::pair<Cell, bool>, KeyLess> rows;
  int questions = 0;
};

class ResolverTest : public ::testing::Test {
 protected:
  void timed(TimeUs time, double value) {
    batch_.rows.push_back(
        {.device = 1, .time = time, .timed = true, .cell = {Kind::kNumber, value, {}}, .offset = next_++});
  }
  void untimed(TimeUs time, double value) {
    batch_.rows.push_back({.device = 1, .time = time, .cell = {Kind::kNumber, value, {}}, .offset = next_++});
  }
  void replayed(TimeUs time, double value) {
    timed(time, value);
    batch_.rows.back().replayed = true;
  }
  void store() {
    auto changes = resolve(batch_, ids_, series_, table_);
    ASSERT_TRUE(changes.ok());
    table_.apply(*changes);
    batch_.rows.clear();
  }

  std::vector<std::int32_t> ids_{100};
  std::int64_t next_ = 0;
  Batch batch_;
  SeriesTable series_{1000};
  Table table_;
};

TEST_F(ResolverTest, AReplayedPointNeverReplacesAndGivesWayLater) {
  timed(10, 1);
  store();
  replayed(10, 2);
  replayed(11, 3);
  replayed(11, 4);
  store();
  EXPECT_EQ(table_.value(10), 1);
  EXPECT_EQ(table_.value(11), 3);
  timed(11, 5);
  store();
  EXPECT_EQ(table_.value(11), 5) << "a correction of the device";
  untimed(12, 6);
  store();
  replayed(12, 7);
  store();
  EXPECT_EQ(table_.value(12), 7);
  EXPECT_EQ(table_.value(13), 6) << "the platform's own stamp gives way as ever";
}

TEST_F(ResolverTest, NewerPointsAskNothing) {
  for (TimeUs t = 10; t < 20; ++t) timed(t, 1);
  store();
  for (TimeUs t = 20; t < 30; ++t) timed(t, 1);
  store();
  EXPECT_EQ(table_.rows.size(), 20U);
  EXPECT_EQ(table_.questions, 0);
}

TEST_F(ResolverTest, LaterPositionWinsWithinABatchAndOverBatches) {
  timed(10, 1);
  timed(10, 2);
  store();
  EXPECT_EQ(table_.value(10), 2);
  timed(20, 1);
  timed(10, 3);
  timed(10, 4);
  store();
  EXPECT_EQ(table_.rows.size(), 2U);
  EXPECT_EQ(table_.value(10), 4);
}

TEST_F(ResolverTest, EqualUntimedPointsOfOneMicrosecondStayTwo) {
  untimed(10, 7);
  untimed(10, 7);
  store();
  untimed(10, 7);
  store();
  EXPECT_EQ(table_.rows.size(), 3U);
  EXPECT_EQ(table_.value(12), 7);
}

TEST_F(ResolverTest, UntimedNeverReplacesATimedRow) {
  timed(10, 1);
  store();
  untimed(10, 2);
  store();
  EXPECT_EQ(table_.value(10), 1);
  EXPECT_EQ(table_.value(11), 2);
}

TEST_F(ResolverTest, TimedPointTakesTheMicrosecondOfAStoredUntimedRow) {
  untimed(10, 1);
  untimed(11, 2);
  store();
  timed(10, 3);
  store();
  EXPECT_EQ(table_.value(10), 3);
  EXPECT_FALSE(table_.untimed(10));
  EXPECT_EQ(table_.value(11), 2);
  EXPECT_EQ(table_.value(12), 1);
  EXPECT_TRUE(table_.untimed(12));
}

TEST_F(ResolverTest, AnUntimedRowThatMovesTwiceInOneBatchMovesOnce) {
  untimed(10, 1);
  store();
  timed(10, 2);
  timed(11, 3);
  store();
  EXPECT_EQ(table_.value(10), 2);
  EXPECT_EQ(table_.value(11), 3);
  EXPECT_EQ(table_.value(12), 1);
}

TEST_F(ResolverTest, ASilentSeriesThatResendsItsLastPointAfterARestartAddsNothing) {
  timed(10, 1);
  store();
  series_.clear();
  timed(10, 1);
  store();
  EXPECT_EQ(table_.rows.size(), 1U);
  EXPECT_EQ(table_.value(10), 1);
}

TEST_F(ResolverTest, AgreesWithAPlainModelOnRandomInput) {
  unsigned state = 12345;
  const auto random = [&state](unsigned most) {
    return (state = state * 1664525U + 1013904223U) >> 16 & 0x7fffU % most;
  };
  std::map<TimeUs, double> wanted;
  std::size_t untimed_count = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 10; ++i) {
      const TimeUs time = 1000 + static_cast<TimeUs>(random(60));
      const double value = round * 10 + i;
      if (random(3) == 0) {
        untimed(time, value);
        ++untimed_count;
      } else {
        timed(time, value);
        wanted[time] = value;
      }
    }
    store();
    if (HasFatalFailure()) return;
    if (round % 7 == 0) series_.clear();
  }
  std::map<TimeUs, double> found;
  std::size_t found_untimed = 0;
  for (const auto& [key, row] : table_.rows) {
    if (row.second)
      ++found_untimed;
    else
      found[key.time] = row.first.number;
  }
  EXPECT_EQ(found, wanted);
  EXPECT_EQ(found_untimed, untimed_count);
}

// A device that fills every microsecond with times of its own must not make each point without time walk past them.
TEST_F(ResolverTest, ADenseRunIsWalkedOnceOverBatches) {
  constexpr int kRun = 20'000;
  for (int i = 0; i < kRun; ++i) timed(1'000 + i, i);
  store();
  table_.questions = 0;
  for (int batch = 0; batch < 10; ++batch) {
    for (int i = 0; i < 500; ++i) untimed(1'000, -1);
    store();
  }
  EXPECT_EQ(table_.rows.size(), kRun + 5'000U);
  EXPECT_LE(table_.questions, 100);
}

}  // namespace
}  // namespace millrace::writer
