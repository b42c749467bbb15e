#include "delivery/book.hpp"

#include <gtest/gtest.h>

namespace millrace::notifier {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BookTest : public ::testing::Test {
 protected:
  static Event event(const std::string& tenant, std::int64_t offset, const std::string& key = "k") {
    Event one;
    one.partition = 0;
    one.offset = offset;
    one.tenant = tenant;
    one.alert_key = tenant + "/" + key;
    return one;
  }
  Taken take(const std::string& tenant, std::int64_t offset, const std::string& key = "k") {
    return book_.take(event(tenant, offset, key), now_);
  }
  // What start() gives; the tests here let nothing expire unless they say so.
  std::optional<Event> start() {
    auto due = book_.start(now_, 0);
    if (!due) return std::nullopt;
    EXPECT_FALSE(due->expired);
    return std::move(due->event);
  }
  Saved saved() { return book_.save({0}).at(0); }

  BookLimits limits_{.rules = {.concurrency = 2}, .tenant_events = 4, .events = 8};
  Book book_{limits_};
  Clock::time_point now_{seconds{1'000}};
};

TEST_F(BookTest, AFullTenantIsLeftInTheLogAndOthersGoOn) {
  EXPECT_EQ(book_.open(0, Saved{0, {}}), 0);
  for (int offset = 0; offset < 4; ++offset) EXPECT_EQ(take("slow", offset), Taken::kQueued);
  EXPECT_EQ(take("slow", 4), Taken::kLeft);
  EXPECT_EQ(take("quick", 5), Taken::kQueued);
  EXPECT_EQ(take("slow", 6), Taken::kLeft);
  EXPECT_EQ(saved(), (Saved{7, {{"quick", 7, {5}}, {"slow", 4, {0, 1, 2, 3}}}}));
  EXPECT_FALSE(book_.next_backlog().has_value());  // no room yet
}

TEST_F(BookTest, WhatWasLeftIsReadAgainInOrderOnceThereIsRoom) {
  book_.open(0, Saved{0, {}});
  for (int offset = 0; offset < 6; ++offset) take("a", offset);
  for (int offset = 0; offset < 3; ++offset) {
    const auto started = start();
    ASSERT_TRUE(started.has_value());
    EXPECT_EQ(started->offset, offset);
    EXPECT_EQ(book_.finish(*started, {.status = 200}, now_, 0), Ending::kDelivered);
  }
  const auto job = book_.next_backlog();
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->from, 4);
  EXPECT_EQ(take("a", 6), Taken::kLeft);  // still behind: the order would break
  for (int offset = 4; offset < 7; ++offset) {
    EXPECT_EQ(book_.take_backlog(*job, event("a", offset), now_), Taken::kQueued);
    EXPECT_EQ(book_.reach(*job, offset + 1), offset < 6);
  }
  EXPECT_EQ(take("a", 7), Taken::kLeft);  // full again, by itself
  for (int offset = 3; offset < 7; ++offset) {
    const auto started = start();
    ASSERT_TRUE(started.has_value());
    EXPECT_EQ(started->offset, offset);
    EXPECT_EQ(book_.finish(*started, {.status = 200}, now_, 0), Ending::kDelivered);
  }
}

TEST_F(BookTest, AFullMemoryLeavesEachTenantItsReserve) {
  book_.open(0, Saved{0, {}});
  for (int offset = 0; offset < 4; ++offset) take("a", offset);
  for (int offset = 4; offset < 8; ++offset) take("b", offset);
  EXPECT_EQ(book_.figures().events, 8U);
  EXPECT_EQ(take("c", 8), Taken::kQueued);
}

TEST_F(BookTest, BacklogsTakeTurns) {
  book_.open(0, Saved{100, {{"a", 10, {}}, {"b", 20, {}}}});
  EXPECT_EQ(book_.next_backlog()->tenant, "a");
  EXPECT_EQ(book_.next_backlog()->tenant, "b");
  EXPECT_EQ(book_.next_backlog()->tenant, "a");
}

TEST_F(BookTest, ATenantWhoseReceiverFailsKeepsNobodyWaiting) {
  book_.open(0, Saved{0, {}});
  take("down", 0, "x");
  take("down", 1, "y");
  take("well", 2);
  const auto first = start();
  const auto second = start();
  const auto third = start();
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(third->tenant, "well");
  EXPECT_EQ(book_.finish(*first, {.failure = "time-out"}, now_, 0), std::nullopt);
  EXPECT_EQ(book_.finish(*third, {.status = 204}, now_, 0), Ending::kDelivered);
  take("well", 3);
  EXPECT_EQ(start()->offset, 3);
  EXPECT_EQ(book_.figures().tenants_down, 1U);
}

TEST_F(BookTest, AnswersForAPartitionThatWasTakenAwayCountForNothing) {
  book_.open(0, Saved{0, {}});
  take("a", 0);
  const auto started = start();
  ASSERT_TRUE(started.has_value());
  book_.close(0);
  book_.open(0, Saved{0, {}});
  EXPECT_EQ(take("a", 0), Taken::kQueued);
  EXPECT_EQ(book_.finish(*started, {.status = 200}, now_, 0), std::nullopt);
  EXPECT_EQ(saved(), (Saved{1, {{"a", 1, {0}}}}));
  const auto again = start();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(book_.finish(*again, {.status = 200}, now_, 0), Ending::kDelivered);
  EXPECT_EQ(saved(), (Saved{1, {}}));
  EXPECT_EQ(book_.figures().events, 0U);
}

TEST_F(BookTest, GivesUpWhatIsTooOldAfterItsTry) {
  book_.open(0, Saved{0, {}});
  take("a", 0);
  const TimeUs late = 2 * std::chrono::duration_cast<std::chrono::microseconds>(limits_.rules.max_age).count();
  const auto started = start();
  ASSERT_TRUE(started.has_value());
  EXPECT_EQ(book_.finish(*started, {.status = 500}, now_, late), Ending::kExpired);
  EXPECT_EQ(saved(), (Saved{1, {}}));
}

TEST_F(BookTest, WhatIsTooOldWhileTheReceiverIsDownIsOverWithoutATry) {
  book_.open(0, Saved{0, {}});
  take("a", 0, "x");
  take("a", 1, "y");
  const TimeUs late = 2 * std::chrono::duration_cast<std::chrono::microseconds>(limits_.rules.max_age).count();
  EXPECT_EQ(book_.finish(*start(), {.failure = "time-out"}, now_, 0), std::nullopt);
  now_ = *book_.wake_at();
  for (int i = 0; i < 2; ++i) {
    const auto due = book_.start(now_, late);
    ASSERT_TRUE(due.has_value());
    EXPECT_TRUE(due->expired);
  }
  EXPECT_FALSE(book_.start(now_, late).has_value());
  EXPECT_EQ(saved(), (Saved{2, {}}));
}

TEST_F(BookTest, TellsWhenABacklogMayGoOn) {
  book_.open(0, Saved{0, {}});
  for (int offset = 0; offset < 6; ++offset) take("a", offset);
  EXPECT_FALSE(book_.next_backlog().has_value());
  while (!book_.next_backlog()) {
    const std::uint64_t seen = book_.backlog_changes();
    EXPECT_EQ(book_.finish(*start(), {.status = 200}, now_, 0), Ending::kDelivered);
    if (book_.next_backlog()) {
      EXPECT_NE(book_.backlog_changes(), seen);
    }
  }
  EXPECT_EQ(book_.figures().events, 1U);
}

TEST_F(BookTest, RefusedIsOverAndWithoutWebhookToo) {
  book_.open(0, Saved{0, {}});
  take("a", 0);
  take("a", 1);
  EXPECT_EQ(book_.finish(*start(), {.status = 410}, now_, 0), Ending::kRefused);
  book_.finish_without_webhook(*start(), now_);
  EXPECT_EQ(saved(), (Saved{2, {}}));
}

TEST_F(BookTest, ChangedProgressIsGivenOnceAndAgainAfterAFailure) {
  book_.open(0, Saved{0, {}});
  book_.pass(0, 5);
  const auto changed = book_.take_changed();
  EXPECT_EQ(changed.at(0), (Saved{5, {}}));
  EXPECT_TRUE(book_.take_changed().empty());
  book_.keep_again(changed);
  EXPECT_EQ(book_.take_changed().size(), 1U);
}

}  // namespace
}  // namespace millrace::notifier
