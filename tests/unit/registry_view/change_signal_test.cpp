#include "change_signal.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace millrace::registry_view {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

TEST(ChangeSignal, AWaiterSeesAChangeAtOnceWheneverItComes) {
  constexpr int kChanges = 2'000;
  ChangeSignal signal;
  std::atomic<int> value{0};
  std::atomic<int> seen{0};
  const std::jthread reader([&] {
    for (int i = 1; i <= kChanges; ++i) {
      if (!signal.wait(ChangeSignal::Clock::now() + minutes(5), {}, [&] { return value.load() >= i; })) return;
      seen.store(i);
      seen.notify_one();
    }
  });
  const auto begun = ChangeSignal::Clock::now();
  for (int i = 1; i <= kChanges; ++i) {
    value.store(i);
    signal.notify();
    seen.wait(i - 1);
  }
  EXPECT_EQ(seen.load(), kChanges);
  EXPECT_LT(ChangeSignal::Clock::now() - begun, minutes(2)) << "none of them was missed and waited out";
}

TEST(ChangeSignal, WaitingEndsAtItsDeadlineAndWhenItIsStopped) {
  ChangeSignal signal;
  EXPECT_FALSE(signal.wait(ChangeSignal::Clock::now() + milliseconds(20), {}, [] { return false; }));
  EXPECT_TRUE(signal.wait(ChangeSignal::Clock::now(), {}, [] { return true; })) << "it is there already";
  std::stop_source stop;
  const auto begun = ChangeSignal::Clock::now();
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(signal.wait(begun + minutes(10), stop.get_token(), [] { return false; }));
  EXPECT_LT(ChangeSignal::Clock::now() - begun, minutes(5));
}

}  // namespace
}  // namespace millrace::registry_view
