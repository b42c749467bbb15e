#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include <millrace/archive/merge.hpp>

namespace millrace::archive {
namespace {

OwnedRow row(std::int64_t time, double value, bool untimed = false) {
  return OwnedRow({{1, 1, time}, 0, untimed, value, ""});
}

std::vector<OwnedRow> merged(const std::vector<OwnedRow>& archived, const std::vector<OwnedRow>& later) {
  VectorSource a(archived);
  VectorSource b(later);
  std::vector<OwnedRow> out;
  const auto done = merge(a, b, [&out](const Row& one) {
    out.emplace_back(one);
    return Status{};
  });
  EXPECT_TRUE(done.ok());
  for (std::size_t i = 1; i < out.size(); ++i) EXPECT_LT(out[i - 1].row.key, out[i].row.key);
  return out;
}

std::vector<std::pair<std::int64_t, double>> seen(const std::vector<OwnedRow>& rows) {
  std::vector<std::pair<std::int64_t, double>> out;
  for (const OwnedRow& one : rows) out.emplace_back(one.row.key.time, one.row.number);
  return out;
}

using Seen = std::vector<std::pair<std::int64_t, double>>;

TEST(Merge, InterleavesAndLetsTheLaterTimedRowCount) {
  EXPECT_EQ(seen(merged({row(1, 1), row(3, 3), row(5, 5)}, {row(2, 2), row(3, 33), row(9, 9)})),
            (Seen{{1, 1}, {2, 2}, {3, 33}, {5, 5}, {9, 9}}));
  EXPECT_EQ(seen(merged({}, {row(2, 2)})), (Seen{{2, 2}}));
  EXPECT_EQ(seen(merged({row(2, 2)}, {})), (Seen{{2, 2}}));
  EXPECT_TRUE(merged({}, {}).empty());
}

TEST(Merge, TheSameRowTwiceIsOne) {
  EXPECT_EQ(seen(merged({row(1, 1), row(2, 2, true)}, {row(1, 1), row(2, 2, true)})), (Seen{{1, 1}, {2, 2}}));
}

TEST(Merge, AStampedRowMovesOnUntilItsPlaceIsFree) {
  EXPECT_EQ(seen(merged({row(1, 1, true), row(2, 2)}, {row(1, 10)})), (Seen{{1, 10}, {2, 2}, {3, 1}}));
  EXPECT_EQ(seen(merged({row(1, 1)}, {row(1, 10, true), row(2, 20)})), (Seen{{1, 1}, {2, 20}, {3, 10}}));
  EXPECT_EQ(seen(merged({row(1, 1, true)}, {row(1, 10, true)})), (Seen{{1, 1}, {2, 10}}));
  EXPECT_EQ(seen(merged({row(1, 1), row(2, 2)}, {row(1, 10, true), row(2, 20, true)})),
            (Seen{{1, 1}, {2, 2}, {3, 10}, {4, 20}}));
}

TEST(Merge, AFailureOfTheReceiverEndsIt) {
  const std::vector<OwnedRow> rows{row(1, 1), row(2, 2)};
  VectorSource a(rows);
  VectorSource b({});
  int given = 0;
  const auto done = merge(a, b, [&given](const Row&) {
    ++given;
    return Status{Error{ErrorKind::kUnavailable, "full"}};
  });
  EXPECT_FALSE(done.ok());
  EXPECT_EQ(given, 1);
}

// Against the rule said in the plainest way: no stamped row is lost, every timed key has its last value.
TEST(Merge, LosesNothing) {
  std::mt19937 random(20261120);
  for (int round = 0; round < 2'000; ++round) {
    std::map<std::int64_t, OwnedRow> archived;
    std::map<std::int64_t, OwnedRow> later;
    for (auto* side : {&archived, &later}) {
      for (int i = 0; i < 6; ++i) {
        const auto time = static_cast<std::int64_t>(random() % 10);
        side->insert_or_assign(
            time, row(time, static_cast<double>(round * 100 + static_cast<int>(random() % 100)), random() % 3 == 0));
      }
    }
    std::vector<OwnedRow> a;
    std::vector<OwnedRow> b;
    std::map<std::int64_t, double> timed;
    std::multiset<double> stamped;
    for (const auto& [time, one] : archived) {
      a.push_back(one);
      if (!one.row.untimed) timed[time] = one.row.number;
    }
    for (const auto& [time, one] : later) {
      b.push_back(one);
      if (!one.row.untimed) timed[time] = one.row.number;
    }
    for (const auto& [time, one] : archived) {
      const auto twin = later.find(time);
      const bool same = twin != later.end() && archive_format::same_row(one.row, twin->second.row);
      if (one.row.untimed && !same) stamped.insert(one.row.number);
    }
    for (const auto& [time, one] : later) {
      if (one.row.untimed) stamped.insert(one.row.number);
    }
    std::map<std::int64_t, double> timed_found;
    std::multiset<double> stamped_found;
    for (const OwnedRow& one : merged(a, b)) {
      if (one.row.untimed) {
        stamped_found.insert(one.row.number);
      } else {
        timed_found[one.row.key.time] = one.row.number;
      }
    }
    ASSERT_EQ(timed_found, timed) << "round " << round;
    ASSERT_EQ(stamped_found, stamped) << "round " << round;
  }
}

/// So many rows that the sources are crowded: those that make room wait long.
std::vector<OwnedRow> crowd(std::mt19937& random, double first) {
  std::map<std::int64_t, OwnedRow> rows;
  for (int i = 0; i < 12; ++i) {
    const auto time = static_cast<std::int64_t>(random() % 16);
    rows.insert_or_assign(time, row(time, first + i, random() % 3 != 0));
  }
  std::vector<OwnedRow> out;
  for (auto& [time, one] : rows) out.push_back(one);
  return out;
}

std::vector<OwnedRow> from(const std::vector<OwnedRow>& rows, std::int64_t time) {
  std::vector<OwnedRow> out;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(out),
               [time](const OwnedRow& one) { return one.row.key.time >= time; });
  return out;
}

TEST(Merge, GoesOnExactlyOverStretchesWhereverTheyAreCut) {
  std::mt19937 random(20261126);
  for (int round = 0; round < 2'000; ++round) {
    const auto archived = crowd(random, round * 100);
    const auto later = crowd(random, round * 100 + 50);
    Merge merge;
    std::vector<OwnedRow> out;
    for (std::int64_t begin = 0; begin < 100;) {
      // A stretch ends at a time, or because its receiver is full.
      const std::int64_t end = begin + 1 + static_cast<std::int64_t>(random() % 6);
      const std::size_t most = out.size() + 1 + random() % 4;
      const auto left = from(archived, begin);
      const auto right = from(later, begin);
      VectorSource a(left);
      VectorSource b(right);
      const auto done = merge.run(a, b, RowKey{1, 1, end}, [&](const Row& one) -> Status {
        if (out.size() == most) return Error{ErrorKind::kConflict, "full"};
        out.emplace_back(one);
        return {};
      });
      begin = done.ok() ? end : out.back().row.key.time + 1;
    }
    ASSERT_EQ(seen(out), seen(merged(archived, later))) << "round " << round;
  }
}

TEST(Merge, AnotherOneGoesOnFromWhereItSays) {
  std::mt19937 random(20261127);
  for (int round = 0; round < 2'000; ++round) {
    const auto archived = crowd(random, round * 100);
    const auto later = crowd(random, round * 100 + 50);
    std::vector<OwnedRow> out;
    std::int64_t begin = 0;
    std::int64_t since = 0;
    for (bool more = true; more;) {
      const auto left = from(archived, since);
      const auto right = from(later, since);
      VectorSource a(left);
      VectorSource b(right);
      const std::size_t most = out.size() + 1 + random() % 4;
      Merge merge;
      const auto done = merge.run(a, b, std::nullopt, [&](const Row& one) -> Status {
        if (one.key.time < begin) return {};
        if (out.size() == most) return Error{ErrorKind::kConflict, "full"};
        out.emplace_back(one);
        return {};
      });
      more = !done.ok();
      if (!more) continue;
      begin = out.back().row.key.time + 1;
      since = merge.since() ? merge.since()->time : begin;
    }
    ASSERT_EQ(seen(out), seen(merged(archived, later))) << "round " << round;
  }
}

}  // namespace
}  // namespace millrace::archive
