#include "log/workers.hpp"

#include <atomic>
#include <latch>

#include <gtest/gtest.h>

#include <millrace/observability/metrics.hpp>

#include "eventually.hpp"

namespace millrace::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStall{1000};

class WorkersTest : public ::testing::Test {
 protected:
  // Sessions of that number and later beat until they are told to stop; earlier ones hang until `release`.
  Workers workers(int count, int hanging) {
    return Workers(
        count,
        [this, hanging](int /*number*/) {
          return std::make_shared<Worker>(
              [this, hanging](WorkerState& state, const std::atomic<bool>& stopping) {
                const int number = begun++;
                state.note(true, "session " + std::to_string(number));
                if (number < hanging) release.wait();
                while (!stopping) {
                  state.beat();
                  std::this_thread::sleep_for(milliseconds{1});
                }
                ++ended;
                return Status{};
              },
              [] { return true; }, restarts);
        },
        kStall);
  }

  observability::Metrics metrics;
  observability::Counter restarts = metrics.counter("millrace_test_restarts_total", "For the test.");
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::latch release{1};
};

TEST_F(WorkersTest, AWorkerThatHangsIsReplacedAndOneThatBeatsIsNot) {
  Workers two = workers(2, 1);
  two.start();
  EXPECT_TRUE(millrace::testing::eventually([&] { return begun == 3; }));
  EXPECT_TRUE(millrace::testing::eventually([&] {
    const auto reports = two.reports();
    return reports[0].ok && reports[1].ok;
  }));
  // Let go, the former one ends without another session.
  release.count_down();
  EXPECT_TRUE(millrace::testing::eventually([&] { return ended == 1; }));
  two.stop();
  EXPECT_TRUE(millrace::testing::eventually([&] { return two.are_done(); }));
  EXPECT_TRUE(millrace::testing::eventually([&] { return two.join(); }));
  EXPECT_EQ(begun, 3);
  EXPECT_EQ(ended, 3);
}

TEST_F(WorkersTest, TheEndWaitsForNobodyWhoHangs) {
  Workers one = workers(1, 1);
  one.start();
  EXPECT_TRUE(millrace::testing::eventually([&] { return begun >= 1; }));
  one.stop();
  // Nobody is replaced any more; that it hangs is said all the same.
  EXPECT_TRUE(millrace::testing::eventually([&] {
    const auto report = one.reports().at(0);
    return !report.ok && report.detail.starts_with("no progress");
  }));
  EXPECT_FALSE(one.join());
  release.count_down();
  EXPECT_TRUE(millrace::testing::eventually([&] { return one.join(); }));
}

}  // namespace
}  // namespace millrace::stream
