#include "verify/accounting.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "readings/meter_readings.hpp"

namespace millrace::fleet {
namespace {

/// A device that sent eight messages, half of them without time, and the rows that a faultless store has of them.
class Accounting : public ::testing::Test {
 protected:
  static constexpr TimeUs kStart = 1'790'000'000'000'000;
  static constexpr std::size_t kMessages = 8;

  Accounting() {
    for (std::uint32_t index = 1; index <= kMessages; ++index) {
      Message message{index, index % 2 == 0, kStart + index * 1000, 0};
      messages.push_back(message);
      LedgerEntry entry;
      entry.time_us = message.time_us;
      entry.timed = message.timed;
      entry.fate = Fate::kAcknowledged;
      ledger.push_back(entry);
      store(message);
    }
  }

  void store(const Message& message, TimeUs later = 0) {
    const TimeUs stamp = message.timed ? message.time_us : message.time_us + 77 + later;
    const bool untimed = !message.timed;
    points.push_back({StoredPoint::kSequence, stamp, static_cast<double>(readings.sequence_of(message)), untimed});
    for (int metric = 0; metric < 2; ++metric) {
      const auto value = readings.expected(kDevice, message, static_cast<std::size_t>(metric));
      points.push_back({metric, stamp + (untimed ? metric + 1 : 0), value, untimed});
    }
  }
  void drop(std::uint32_t index) { points.erase(row(index), row(index) + 3); }
  std::vector<StoredPoint>::iterator row(std::uint32_t index) { return points.begin() + (index - 1) * 3; }
  Tally tally() const { return account(kDevice, "meter", readings, ledger, points); }

  static constexpr std::size_t kDevice = 4;
  MeterReadings readings{{.seed = 9, .untimed_share = 0, .sequence_base = 500}, 2};
  std::vector<Message> messages;
  std::vector<LedgerEntry> ledger;
  std::vector<StoredPoint> points;
};

TEST_F(Accounting, AFaultlessStoreIsClean) {
  const Tally result = tally();
  EXPECT_TRUE(result.clean()) << (result.examples.empty() ? "" : result.examples[0]);
  EXPECT_EQ(result.sent, kMessages);
  EXPECT_EQ(result.acknowledged, kMessages);
  EXPECT_EQ(result.stored, kMessages);
}

TEST_F(Accounting, TheOrderOfRowsDoesNotMatter) {
  std::ranges::reverse(points);
  EXPECT_TRUE(tally().clean());
}

TEST_F(Accounting, AnAcknowledgedMessageThatIsMissingIsLost) {
  for (const std::uint32_t index : {3U, 4U}) {
    Accounting::drop(index);
    const Tally result = tally();
    EXPECT_EQ(result.lost, 1U);
    EXPECT_EQ(result.doubled, 0U);
    EXPECT_EQ(result.wrong_value, 0U);
    EXPECT_NE(result.examples.at(0).find(std::to_string(500 + index)), std::string::npos);
    store(messages[index - 1]);
    std::rotate(row(index), points.end() - 3, points.end());
    ASSERT_TRUE(tally().clean());
  }
}

TEST_F(Accounting, WhatHadNoAnswerMayBeMissingOrThereOnceButNotTwice) {
  ledger[2].fate = Fate::kSent;
  Tally result = tally();
  EXPECT_TRUE(result.clean());
  EXPECT_EQ(result.stored_unanswered, 1U);
  store(messages[2], 5000);
  EXPECT_EQ(tally().doubled, 1U);
  points.resize(points.size() - 3);
  drop(3);
  result = tally();
  EXPECT_TRUE(result.clean());
  EXPECT_EQ(result.stored, kMessages - 1);
  EXPECT_EQ(result.acknowledged, kMessages - 1);
}

TEST_F(Accounting, AMessageStoredTwiceOrThriceIsDoubledOnce) {
  store(messages[0], 1'000'000);
  EXPECT_EQ(tally().doubled, 1U);
  EXPECT_EQ(tally().wrong_value, 0U) << "its points are there twice as well, which is the same fault";
  store(messages[0], 2'000'000);
  EXPECT_EQ(tally().doubled, 1U);
  EXPECT_EQ(tally().stored, kMessages);
}

TEST_F(Accounting, ATimedPointTwiceAtItsTimeIsSeen) {
  points.push_back(*(row(2) + 1));
  EXPECT_EQ(tally().wrong_value, 1U);
  points.back() = *row(2);
  EXPECT_EQ(tally().doubled, 1U);
}

TEST_F(Accounting, OtherValuesAreSeen) {
  for (const std::uint32_t index : {1U, 2U}) {
    const auto kept = (row(index) + 1)->value;
    (row(index) + 1)->value = *kept + 0.001;
    EXPECT_GE(tally().wrong_value, 1U) << index;
    (row(index) + 1)->value = std::nullopt;
    EXPECT_GE(tally().wrong_value, 1U) << index;
    (row(index) + 1)->value = kept;
    ASSERT_TRUE(tally().clean());
  }
}

TEST_F(Accounting, AMissingReadingOfAStoredMessageIsSeen) {
  for (const std::uint32_t index : {1U, 2U}) {
    const StoredPoint kept = *(row(index) + 2);
    points.erase(row(index) + 2);
    EXPECT_EQ(tally().wrong_value, 1U) << index;
    points.insert(row(index) + 2, kept);
    ASSERT_TRUE(tally().clean());
  }
}

TEST_F(Accounting, AValueNobodySentIsSeen) {
  points.push_back({0, kStart + 9'999'999, 12.5, true});
  EXPECT_EQ(tally().wrong_value, 1U);
}

TEST_F(Accounting, TimesAreCompared) {
  row(2)->time_us += 1;
  EXPECT_EQ(tally().wrong_value, 1U) << "timed, at another time";
  row(2)->time_us -= 1;
  row(2)->untimed = true;
  EXPECT_EQ(tally().wrong_value, 1U) << "timed, stamped by the platform";
  row(2)->untimed = false;
  row(1)->untimed = false;
  EXPECT_EQ(tally().wrong_value, 1U) << "untimed, stored as timed";
}

TEST_F(Accounting, WhatWasRefusedOrNeverSentMustNotBeThere) {
  ledger[0].fate = Fate::kRefused;
  EXPECT_EQ(tally().wrong_value, 1U);
  ledger[0].fate = Fate::kMade;
  EXPECT_EQ(tally().wrong_value, 1U);
  drop(1);
  EXPECT_TRUE(tally().clean());
  EXPECT_EQ(tally().sent, kMessages - 1);
}

TEST_F(Accounting, OtherRunsArePassedOver) {
  points.push_back({StoredPoint::kSequence, kStart, 500.0, true});
  points.push_back({StoredPoint::kSequence, kStart, 509.0, true});
  points.push_back({StoredPoint::kSequence, kStart - 5, 3.0, false});
  points.push_back({0, kStart - 5, 3.0, false});
  EXPECT_TRUE(tally().clean());
}

TEST_F(Accounting, TalliesAddUp) {
  drop(3);
  Tally sum = tally();
  sum.add(tally());
  EXPECT_EQ(sum.lost, 2U);
  EXPECT_EQ(sum.sent, 2 * kMessages);
  EXPECT_EQ(sum.examples.size(), 2U);
}

}  // namespace
}  // namespace millrace::fleet
