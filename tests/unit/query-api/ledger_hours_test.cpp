#include "ledger/ledger_hours.hpp"

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

HourFacts facts(std::int64_t acknowledged, std::int64_t first, std::int64_t records, std::int64_t next) {
  HourFacts facts;
  facts.acknowledged = acknowledged;
  facts.first_offset = first;
  facts.records = records;
  facts.next_offset = next;
  return facts;
}

TEST(LedgerHours, ADisturbedHourThatLostNothingMissesNothing) {
  // Ten acknowledged, twelve in the log (two whose report was lost), all read.
  const HourAccount all = account(facts(10, 100, 12, 500), {100, 112, 0});
  EXPECT_EQ(all.in_log, 12);
  EXPECT_EQ(all.pending, 0);
  EXPECT_EQ(all.missing, 0);
  // The writer is in the middle of it.
  const HourAccount some = account(facts(12, 100, 5, 105), {100, 112, 0});
  EXPECT_EQ(some.pending, 7);
  EXPECT_EQ(some.missing, 0);
  // It has not begun.
  HourFacts none = facts(12, 0, 0, 90);
  none.first_offset.reset();
  EXPECT_EQ(account(none, {100, 112, 0}).pending, 12);
  EXPECT_EQ(account(none, {100, 112, 0}).missing, 0);
}

TEST(LedgerHours, WhatTheLogLostAndWhatTheWriterPassedAreMissing) {
  EXPECT_EQ(account(facts(15, 100, 12, 500), {100, 112, 0}).missing, 3) << "acknowledged, not in the log";
  EXPECT_EQ(account(facts(12, 100, 10, 500), {100, 112, 0}).missing, 2) << "passed, not accounted for";
  EXPECT_EQ(account(facts(14, 100, 10, 500), {100, 112, 0}).missing, 4) << "both";
}

TEST(LedgerHours, WhereTheLogIsGoneTheRowsAnswerAndSaySo) {
  const HourAccount partly = account(facts(12, 100, 12, 500), {105, 112, 105});
  EXPECT_FALSE(partly.in_log);
  EXPECT_EQ(partly.missing, 0);
  EXPECT_EQ(account(facts(13, 100, 12, 500), {500, 500, 500}).missing, 1);
  HourFacts earlier = facts(12, 100, 12, 5);
  earlier.current_generation = 1;
  EXPECT_FALSE(account(earlier, {100, 112, 0}).in_log) << "these offsets are other records now";
}

}  // namespace
}  // namespace millrace::query_api
