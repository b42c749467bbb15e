#include "announce/dead_tail.hpp"

#include <gtest/gtest.h>

#include <millrace/storage/v1/progress.pb.h>

namespace millrace::writer {
namespace {

storage::v1::Progress said(const DeadTail& tail) {
  storage::v1::Progress progress;
  tail.write_to(progress);
  return progress;
}

DeadLetter dead(std::int64_t offset, std::vector<std::int32_t> points, std::string reason) {
  DeadLetter letter;
  letter.offset = offset;
  letter.points = std::move(points);
  letter.reason = std::move(reason);
  return letter;
}

TEST(DeadTail, SaysTheDeadAndTheirCopiesInOrder) {
  DeadTail tail(5);
  Slice slice;
  slice.dead = {dead(9, {1, 2}, "range"), dead(7, {}, "no batch")};
  slice.copies = {{10, 9, 1}, {11, 6, 1}, {12, 10, 2}};
  tail.add(slice);
  const auto progress = said(tail);
  EXPECT_EQ(progress.dead_from(), 5);
  ASSERT_EQ(progress.dead_size(), 4);
  EXPECT_EQ(progress.dead(0).offset(), 7);
  EXPECT_EQ(progress.dead(0).points_size(), 0);
  EXPECT_EQ(progress.dead(1).offset(), 9);
  EXPECT_EQ(progress.dead(2).offset(), 10) << "a copy of a dead record";
  EXPECT_EQ(progress.dead(2).reason(), "range");
  EXPECT_EQ(progress.dead(2).points(1), 2);
  EXPECT_EQ(progress.dead(3).offset(), 12) << "a copy of the copy";
}

TEST(DeadTail, NamesOriginalsThatItCannotKnow) {
  DeadTail tail(100);
  Slice slice;
  slice.copies = {{150, 99, 1}, {151, 100, 1}};
  EXPECT_EQ(DeadTail::unknown_originals(slice, tail), std::vector<std::int64_t>{99});
}

TEST(DeadTail, IsBoundedAndSaysFromWhereItIsWhole) {
  DeadTail tail;
  for (std::int64_t offset = 0; offset < 250; ++offset) tail.add(offset, {}, "x");
  const auto progress = said(tail);
  EXPECT_EQ(progress.dead_size(), static_cast<int>(DeadTail::kMost));
  EXPECT_EQ(progress.dead_from(), 50);
  EXPECT_EQ(progress.dead(0).offset(), 50);
}

TEST(DeadTail, CutsAReasonBetweenCharacters) {
  DeadTail tail;
  tail.add(1, {}, std::string(199, 'a') + "\xc3\xa4 and more");
  EXPECT_EQ(said(tail).dead(0).reason(), std::string(199, 'a'));
  tail.add(2, {}, std::string(198, 'a') + "\xc3\xa4 and more");
  EXPECT_EQ(said(tail).dead(1).reason(), std::string(198, 'a') + "\xc3\xa4");
}

}  // namespace
}  // namespace millrace::writer
