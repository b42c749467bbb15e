#include "receipts/receipt_state.hpp"

#include <gtest/gtest.h>

#include "receipts/tenant_cache.hpp"

namespace millrace::query_api {
namespace {

struct Case {
  const char* desc;
  telemetry::Receipt receipt;
  StoredFacts stored;
  LogFacts log;
  ReceiptState state;
};

telemetry::Receipt at(std::int64_t offset, std::int32_t generation = 0) {
  return {.partition = 3, .offset = offset, .generation = generation};
}
StoredFacts stored_below(std::int64_t next) {
  StoredFacts facts;
  facts.known_partition = true;
  facts.next_offset = next;
  return facts;
}
LogFacts log_of(const char* tenant, std::int64_t low = 0, std::int64_t high = 100) {
  return {.low = low, .high = high, .tenant = tenant, .points = 3};
}
StoredFacts dead(std::vector<std::int32_t> points) {
  StoredFacts facts = stored_below(50);
  facts.dead = StoredFacts::Dead{std::move(points), "why"};
  return facts;
}
StoredFacts second_generation() {
  StoredFacts facts = stored_below(60);
  facts.generation = 1;
  return facts;
}
// Records 50 to 79 were deleted unread; the same log goes on at 80.
StoredFacts deleted_unread() {
  StoredFacts facts = stored_below(90);
  facts.generation = 1;
  facts.breaks = {{.generation = 0, .lost_from = 50, .lost_to = 80, .resume = 80, .reason = "disk full"}};
  return facts;
}
// 50 were stored; the log was cut at 30 and went on with other records.
StoredFacts cut() {
  StoredFacts facts = stored_below(60);
  facts.generation = 1;
  facts.breaks = {{.generation = 0,
                   .lost_from = 50,
                   .lost_to = storage_schema::LogBreak::kEverything,
                   .resume = 30,
                   .reason = "disk gone"}};
  return facts;
}

TEST(ReceiptState, FollowsFromTheFacts) {
  const Case cases[] = {
      {"behind the position", at(10), stored_below(50), log_of("acme"), ReceiptState::kStored},
      {"the position itself", at(50), stored_below(50), log_of("acme"), ReceiptState::kPending},
      {"the writer has not begun", at(0), StoredFacts{}, log_of("acme"), ReceiptState::kPending},
      {"the log's end", at(100), stored_below(50), log_of("acme"), ReceiptState::kUnknown},
      {"another tenant's", at(10), stored_below(50), log_of("other"), ReceiptState::kUnknown},
      {"another tenant's, not stored yet", at(60), stored_below(50), log_of("other"), ReceiptState::kUnknown},
      {"a later generation", at(10, 1), stored_below(50), log_of("acme"), ReceiptState::kUnknown},
      {"before the log's start", at(10), stored_below(50), log_of("acme", 20), ReceiptState::kExpired},
      {"some points are dead", at(10), dead({1}), log_of("acme"), ReceiptState::kPartly},
      {"each point is dead", at(10), dead({0, 1, 2}), log_of("acme"), ReceiptState::kDeadLettered},
      {"the record is dead", at(10), dead({}), log_of("acme"), ReceiptState::kDeadLettered},
      {"deleted unread", at(60), deleted_unread(), log_of("acme", 80), ReceiptState::kLost},
      {"behind what was deleted", at(85), deleted_unread(), log_of("acme", 80), ReceiptState::kStored},
      {"behind what was deleted, not stored yet", at(95), deleted_unread(), log_of("acme", 80), ReceiptState::kPending},
      {"before what was deleted", at(40), deleted_unread(), log_of("acme", 80), ReceiptState::kExpired},
      {"cut off before it was stored", at(55), cut(), log_of("acme"), ReceiptState::kLost},
      {"cut off after it was stored", at(40), cut(), log_of("acme"), ReceiptState::kExpired},
      {"before the cut", at(20), cut(), log_of("acme"), ReceiptState::kStored},
      {"of the next generation", at(40, 1), second_generation(), log_of("acme"), ReceiptState::kStored},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(decide(one.receipt, "acme", one.stored, one.log).state, one.state) << one.desc;
  }
}

TEST(ReceiptState, SaysWhy) {
  EXPECT_EQ(decide(at(10), "acme", dead({1}), log_of("acme")).reason, "why");
  EXPECT_EQ(decide(at(55), "acme", cut(), log_of("acme")).reason, "disk gone");
  EXPECT_EQ(decide(at(100), "acme", stored_below(50), log_of("acme")).reason, kBeyondTheLog);
  EXPECT_EQ(decide(at(10), "acme", stored_below(50), log_of("other")).reason, kNotOfTheTenant);
  EXPECT_EQ(decide(at(10, 2), "acme", stored_below(50), log_of("acme")).reason,
            "generation 2 of the partition has not begun");
}

TEST(ReceiptState, ACopyAnswersAsItsOriginal) {
  StoredFacts facts = dead({});
  facts.original_offset = 4;
  const ReceiptAnswer answer = decide(at(10), "acme", facts, log_of("acme"));
  EXPECT_EQ(answer.state, ReceiptState::kDeadLettered);
  EXPECT_EQ(answer.original, "3:4");
}

TEST(TenantCache, KeepsTheLastOnes) {
  TenantCache cache(2);
  cache.put({0, 1, 1}, "a");
  cache.put({0, 1, 2}, "b");
  EXPECT_EQ(cache.get({0, 1, 1}), "a");
  EXPECT_EQ(cache.get({1, 1, 1}), std::nullopt) << "another generation is another record";
  cache.put({0, 1, 3}, "a");
  EXPECT_EQ(cache.get({0, 1, 3}), "a");
  EXPECT_EQ(cache.get({0, 1, 1}), std::nullopt);
}

}  // namespace
}  // namespace millrace::query_api
