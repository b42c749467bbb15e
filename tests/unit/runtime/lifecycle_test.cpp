#include <csignal>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include <millrace/runtime/lifecycle.hpp>

namespace millrace::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct TestApp : App {
  Status start() override { return start_result; }
  std::vector<Phase> stop_phases() override { return phases; }

  Status start_result;
  std::vector<Phase> phases;
};

// Signals are per process: each case runs in a child.
TEST(Lifecycle, StopsInOrderOnSigterm) {
  TestApp app;
  std::string order;
  app.phases = {{"not-ready",
                 [&](Deadline) {
                   order += 'a';
                   return Status{};
                 }},
                {"close", [&](Deadline) {
                   std::fprintf(stderr, "order=%s\n", (order + 'b').c_str());
                   return Status{};
                 }}};
  EXPECT_EXIT(
      {
        block_signals();
        ::kill(::getpid(), SIGTERM);
        ::_exit(run(app, seconds{60}));
      },
      ::testing::ExitedWithCode(0), "order=ab");
}

TEST(Lifecycle, AFailureEndsWithOneAndStillRunsThePhases) {
  TestApp app;
  app.phases = {{"drain", [](Deadline) {
                   std::fprintf(stderr, "drained\n");
                   return Status{};
                 }}};
  EXPECT_EXIT(
      {
        block_signals();
        request_failure("broken");
        ::_exit(run(app, seconds{60}));
      },
      ::testing::ExitedWithCode(1), "drained");
}

TEST(Lifecycle, AFailedStartEndsWithOne) {
  TestApp app;
  app.start_result = Error{ErrorKind::kUnavailable, "port in use"};
  EXPECT_EXIT({ ::_exit(run(app, seconds{60})); }, ::testing::ExitedWithCode(1), "port in use");
}

TEST(Lifecycle, APhaseBehindTheDeadlineIsSkippedAloud) {
  TestApp app;
  app.phases = {{"drain",
                 [](Deadline deadline) {
                   std::this_thread::sleep_until(deadline);
                   return Status{};
                 }},
                {"flush", [](Deadline) {
                   std::fprintf(stderr, "flushed\n");
                   return Status{};
                 }}};
  EXPECT_EXIT(
      {
        block_signals();
        ::kill(::getpid(), SIGTERM);
        ::_exit(run(app, milliseconds{50}));
      },
      ::testing::ExitedWithCode(0), "shutdown phase skipped.*flush");
}

}  // namespace
}  // namespace millrace::runtime
