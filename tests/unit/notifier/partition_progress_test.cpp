#include "delivery/partition_progress.hpp"

#include <random>

#include <gtest/gtest.h>

#include "log/progress_store.hpp"

namespace millrace::notifier {
namespace {

constexpr std::size_t kMany = 1'000;

TEST(PartitionProgress, SavesWhatIsOpen) {
  PartitionProgress progress(Saved{10, {}});
  progress.begin("a", 10);
  progress.begin("b", 11);
  progress.begin("a", 12);
  progress.pass(13);
  progress.end("b", 11);
  EXPECT_EQ(progress.save(kMany), (Saved{13, {{"a", 13, {10, 12}}}}));
  progress.end("a", 10);
  progress.end("a", 12);
  EXPECT_EQ(progress.save(kMany), (Saved{13, {}}));
}

TEST(PartitionProgress, AfterARestartOnlyTheOpenEventsAreReadAgain) {
  PartitionProgress progress(Saved{100, {{"a", 100, {40, 60}}}});
  ASSERT_TRUE(progress.is_behind("a"));
  EXPECT_EQ(progress.backlog_from("a"), 40);
  EXPECT_TRUE(progress.is_wanted("a", 40));
  EXPECT_FALSE(progress.is_wanted("a", 50));
  progress.begin("a", 40);
  progress.reach("a", 41);
  EXPECT_EQ(progress.backlog_from("a"), 60);
  EXPECT_EQ(progress.save(kMany), (Saved{100, {{"a", 100, {40, 60}}}}));
  progress.end("a", 40);
  progress.reach("a", 61);
  EXPECT_FALSE(progress.is_behind("a"));  // nothing is wanted between 60 and 100
  EXPECT_EQ(progress.save(kMany), (Saved{100, {}}));
}

TEST(PartitionProgress, ATenantThatIsBehindIsReadUpToTheFirstReader) {
  PartitionProgress progress(Saved{0, {}});
  progress.begin("a", 0);
  progress.leave("a", 1);
  progress.pass(5);
  progress.leave("a", 5);  // it stays behind from 1
  progress.pass(6);
  EXPECT_EQ(progress.save(kMany), (Saved{6, {{"a", 1, {0}}}}));
  EXPECT_TRUE(progress.is_wanted("a", 1));
  progress.reach("a", 4);
  EXPECT_FALSE(progress.is_wanted("a", 3));
  EXPECT_TRUE(progress.is_behind("a"));
  progress.reach("a", 6);
  EXPECT_FALSE(progress.is_behind("a"));
}

TEST(PartitionProgress, ManyOpenEventsGiveWayToAPosition) {
  PartitionProgress progress(Saved{0, {}});
  for (std::int64_t offset = 3; offset < 30; ++offset) progress.begin("a", offset);
  progress.pass(30);
  EXPECT_EQ(progress.save(10), (Saved{30, {{"a", 3, {}}}}));
}

TEST(PartitionProgress, VeryManyTenantsGiveWayToOnePosition) {
  PartitionProgress progress(Saved{0, {}});
  for (std::int64_t offset = 7; offset < 9'000; ++offset) progress.begin("t" + std::to_string(offset), offset);
  progress.pass(9'000);
  EXPECT_EQ(progress.save(kMany), (Saved{7, {}}));
}

TEST(PartitionProgress, GoesThroughItsBytes) {
  const Saved saved{30, {{"a", 3, {1, 2}}, {"b", 30, {}}}};
  const auto back = decode_progress(encode_progress(saved));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, saved);
  EXPECT_FALSE(decode_progress("\xff\xff").ok());
}

// Whatever happens, an event that is not over is wanted after a restart from what was saved at any moment.
TEST(PartitionProgress, NeverForgetsAnOpenEvent) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::set<std::int64_t> open;  // offsets of tenant a that are not over
    std::set<std::int64_t> in_memory;
    PartitionProgress progress(Saved{0, {}});
    std::int64_t next = 0;
    for (int step = 0; step < 200; ++step) {
      const auto choice = random() % 4;
      if (choice <= 1) {
        open.insert(next);
        if (!progress.is_behind("a") && random() % 3 != 0) {
          progress.begin("a", next);
          in_memory.insert(next);
        } else {
          progress.leave("a", next);
        }
        progress.pass(++next);
      } else if (choice == 2 && !in_memory.empty()) {
        auto which = in_memory.begin();
        std::advance(which, random() % in_memory.size());
        progress.end("a", *which);
        open.erase(*which);
        in_memory.erase(which);
      } else if (progress.is_behind("a")) {
        const std::int64_t offset = *progress.backlog_from("a");
        if (progress.is_wanted("a", offset) && open.contains(offset) && !in_memory.contains(offset)) {
          progress.begin("a", offset);
          in_memory.insert(offset);
        }
        progress.reach("a", offset + 1);
      }
      if (random() % 50 == 0) {
        progress = PartitionProgress(progress.save(random() % 2 == 0 ? kMany : 3));
        in_memory.clear();
      }
      const PartitionProgress restarted(progress.save(kMany));
      for (const std::int64_t offset : open) {
        ASSERT_TRUE(restarted.is_wanted("a", offset) || offset >= restarted.next_offset())
            << "round " << round << " step " << step << " offset " << offset;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::notifier
