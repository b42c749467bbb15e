#include "archiver_fixture.hpp"

namespace millrace::archiver {
namespace {

class ArchiverFaults : public ArchiverTest {};

// SIGKILL after each step, of a day's first file and of its second: readers see each row once at every moment, and the
// next look ends what was begun.
TEST_P(ArchiverFaults, AKillAfterAnyStepLosesNothingAndStoresNothingTwice) {
  const std::string day = day_ago(6);
  fill(day, 700);
  Contents expected = all();
  int device = 1'000;
  for (const std::string_view step : kSteps) {
    SCOPED_TRACE(std::string(step));
    ASSERT_TRUE(killed_after(step));
    EXPECT_EQ(all(), expected);
    // A late row while nobody works.
    ++device;
    insert(day, device, 1, device);
    expected = all();
    EXPECT_EQ(expected.size(), 700U + static_cast<std::size_t>(device - 1'000));
    ASSERT_TRUE(pass().ok());
    EXPECT_EQ(all(), expected);
    ASSERT_TRUE(pass().ok());
    EXPECT_EQ(cold(), expected) << "all of it is archived";
    EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_file WHERE detached IS NOT NULL"), 0);
    EXPECT_EQ(stored_keys().size(), 1U) << "no orphan stays";
    ++device;
    insert(day, device, 2, device);
    expected = all();
  }
}

TEST_P(ArchiverFaults, AKillWhileWhatIsOverIsRemovedIsFollowedByTheRest) {
  int number = 6;
  for (const std::string_view step : kSteps) {
    SCOPED_TRACE(std::string(step));
    const std::string day = day_ago(number++);
    run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
    for (int device = 1; device <= 3; ++device) insert(day, device, 10, device);
    ASSERT_TRUE(pass().ok());
    const Contents whole = cold();
    EXPECT_EQ(expire(day, "{1,2}"), 2);
    ASSERT_TRUE(killed_after(step));
    ASSERT_TRUE(pass().ok());
    ASSERT_TRUE(pass().ok());
    EXPECT_EQ(cold().size(), whole.size() - 2);
    EXPECT_TRUE(hot().empty());
    EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_expired"), 0);
    EXPECT_EQ(stored_keys().size(), static_cast<std::size_t>(number - 6)) << "no orphan stays";
  }
  const std::string day = day_ago(6);
  EXPECT_EQ(expire(day, "{3}"), 1);
  ASSERT_TRUE(killed_after("retired"));
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(cold().size(), kSteps.size() - 1);
  EXPECT_EQ(stored_keys().size(), kSteps.size() - 1);
}

INSTANTIATE_TEST_SUITE_P(Stores, ArchiverFaults, ::testing::Values("directory", "s3"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace millrace::archiver
