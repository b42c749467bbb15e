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

}  // namespace
}  // namespace millrace::archive
