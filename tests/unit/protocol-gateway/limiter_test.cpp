#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "fakes.hpp"

namespace millrace::gateway {
namespace {

using registry_view::Device;
using registry_view::Limits;
using registry_view::Rate;

// Slow enough that nothing comes back during a test.
Rate few(double burst) { return {{0.001, burst}}; }

class LimiterTest : public ::testing::Test {
 protected:
  bool admit(HeldTo& held, std::size_t bytes = 10) {
    last_ = limiter_.admit(device_, held, bytes);
    return !last_;
  }
  int admitted(HeldTo& held, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += admit(held) ? 1 : 0;
    return count;
  }

  observability::Metrics registry_;
  GatewayMetrics metrics_{registry_};
  FakeLimits limits_;
  Limiter limiter_{limits_, metrics_};
  Device device_{"acme", "m-1", 42, true};
  Device other_{"acme", "m-2", 43, true};
  std::optional<OverLimit> last_;
};

TEST_F(LimiterTest, WithoutLimitsNothingIsCountedAndNothingKept) {
  HeldTo held;
  EXPECT_EQ(admitted(held, 1000), 1000);
  EXPECT_EQ(limiter_.device_budgets(), 0U);
}

TEST_F(LimiterTest, ADeviceHasOneBudgetOnAllItsConnections) {
  limits_.set({.messages = few(3)});
  HeldTo mqtt;
  HeldTo http;
  EXPECT_EQ(admitted(mqtt, 2), 2);
  EXPECT_EQ(admitted(http, 2), 1);
  ASSERT_TRUE(last_.has_value());
  EXPECT_EQ(last_->scope, LimitScope::kDevice);
  EXPECT_DOUBLE_EQ(last_->value, 0.001);
  EXPECT_GT(last_->retry_after.count(), 900'000);
}

TEST_F(LimiterTest, ATenantHasOneBudgetOverAllItsDevicesAndTakesNothingFromARefusedMessage) {
  limits_.set({.messages = few(5)}, {.bytes = few(25)});
  HeldTo held;
  EXPECT_EQ(admitted(held, 4), 2);
  EXPECT_EQ(last_->limit, LimitKind::kBytes);
  EXPECT_EQ(last_->scope, LimitScope::kTenant);
  EXPECT_TRUE(admit(held, 5)) << "what was refused has left its bytes and messages";
  EXPECT_FALSE(admit(held, 1));
}

TEST_F(LimiterTest, ALimitThatIsSetOrTakenAwayHoldsForOpenConnections) {
  HeldTo held;
  EXPECT_EQ(admitted(held, 10), 10);
  limits_.set({.messages = few(1)});
  EXPECT_EQ(admitted(held, 10), 1);
  limits_.set({});
  EXPECT_EQ(admitted(held, 10), 10);
}

TEST_F(LimiterTest, PointsAreChargedWhenTheyAreKnown) {
  limits_.set({.messages = few(2), .points = few(4)});
  HeldTo held;
  ASSERT_TRUE(admit(held));
  EXPECT_FALSE(limiter_.charge_points(held, 10, 3).has_value());
  ASSERT_TRUE(admit(held));
  const auto over = limiter_.charge_points(held, 10, 2);
  ASSERT_TRUE(over.has_value());
  EXPECT_EQ(over->limit, LimitKind::kPoints);
  ASSERT_TRUE(admit(held)) << "the refused message was given back";
  EXPECT_FALSE(limiter_.charge_points(held, 10, 1).has_value());
  limits_.set({.points = few(4)});
  EXPECT_FALSE(admit(held)) << "no point is left: nothing is decoded";
}

TEST_F(LimiterTest, ConnectionsAreCountedByClientSoThatOneMayTakeAnothersPlace) {
  limits_.set({.connections = 1});
  HeldTo first;
  HeldTo again;
  HeldTo second;
  auto open = limiter_.connect(device_, first, "client");
  ASSERT_TRUE(std::holds_alternative<Limiter::Connection>(open));
  auto taken_over = limiter_.connect(device_, again, "client");
  ASSERT_TRUE(std::holds_alternative<Limiter::Connection>(taken_over));
  open = Limiter::Connection();
  const auto refused = limiter_.connect(device_, second, "another");
  ASSERT_TRUE(std::holds_alternative<OverLimit>(refused));
  EXPECT_EQ(std::get<OverLimit>(refused).limit, LimitKind::kConnections);
  taken_over = Limiter::Connection();
  EXPECT_TRUE(std::holds_alternative<Limiter::Connection>(limiter_.connect(device_, second, "another")));
}

TEST_F(LimiterTest, ATenantsConnectionsAreThoseOfAllItsDevicesHereAndElsewhere) {
  limits_.set({}, {.connections = 3});
  HeldTo one;
  HeldTo two;
  const auto open = limiter_.connect(device_, one, "a");
  one.tenant->connections_elsewhere = 1;
  auto last = limiter_.connect(other_, two, "b");
  EXPECT_TRUE(std::holds_alternative<Limiter::Connection>(last));
  const auto refused = limiter_.connect(other_, two, "c");
  ASSERT_TRUE(std::holds_alternative<OverLimit>(refused));
  EXPECT_EQ(std::get<OverLimit>(refused).scope, LimitScope::kTenant);
  last = Limiter::Connection();
  EXPECT_TRUE(std::holds_alternative<Limiter::Connection>(limiter_.connect(other_, two, "c")));
}

TEST_F(LimiterTest, TheConnectRateIsItsOwn) {
  limits_.set({.connects = few(2)});
  HeldTo held;
  EXPECT_TRUE(std::holds_alternative<Limiter::Connection>(limiter_.connect(device_, held, "a")));
  EXPECT_TRUE(std::holds_alternative<Limiter::Connection>(limiter_.connect(device_, held, "a")));
  const auto refused = limiter_.connect(device_, held, "a");
  ASSERT_TRUE(std::holds_alternative<OverLimit>(refused));
  EXPECT_EQ(std::get<OverLimit>(refused).limit, LimitKind::kConnects);
  EXPECT_EQ(admitted(held, 10), 10);
}

TEST_F(LimiterTest, AShareOfATenantsRateIsAShareOfItsBurstToo) {
  limits_.set({}, {.messages = few(100)});
  HeldTo held;
  ASSERT_TRUE(admit(held));
  held.tenant->shares[0] = 0.1;
  EXPECT_EQ(admitted(held, 100), 9);
}

TEST_F(LimiterTest, IsExactUnderManyThreads) {
  limits_.set({.messages = few(1000)}, {.messages = few(1500)});
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      HeldTo held;
      const Device& device = i % 2 == 0 ? device_ : other_;
      for (int n = 0; n < 1000; ++n) passed += limiter_.admit(device, held, 1) ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed.load(), 1500);
}

TEST_F(LimiterTest, SaysTheSameOnEveryProtocol) {
  const OverLimit over{LimitKind::kMessages, LimitScope::kDevice, 2.5, std::chrono::milliseconds{1200}};
  EXPECT_EQ(over.json_members(), R"("limit":"messages","scope":"device","value":2.5,"retry_after_ms":1200)");
  EXPECT_EQ(over.message(), "the device may send 2.5 messages a second; try again in 1200 ms");
  EXPECT_EQ(over.retry_after_s(), 2U);
}

TEST_F(LimiterTest, PromisesNoTimeWhereAConnectionHasToEnd) {
  const OverLimit over{LimitKind::kConnections, LimitScope::kTenant, 3, std::chrono::milliseconds{1000}};
  EXPECT_EQ(over.message(), "the tenant may have 3 connections open; close one, or try again when one has ended");
}

}  // namespace
}  // namespace millrace::gateway
