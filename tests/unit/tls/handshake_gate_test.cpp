// Who may begin a handshake, and in which order.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/tls/handshake_gate.hpp>

namespace millrace::tls {
namespace {

class HandshakeGateTest : public ::testing::Test {
 protected:
  struct Peer final : HandshakeGate::Waiter {
    Peer(std::string its_name, std::vector<std::string>& log) : name(std::move(its_name)), begun(log) {}
    void on_place(HandshakeGate::Place given) override {
      begun.push_back(name);
      place = std::move(given);
    }
    std::string name;
    std::vector<std::string>& begun;
    HandshakeGate::Place place;
  };

  /// A peer called like its address and its number there; kept until drop().
  void come(const std::string& address, const std::string& name) {
    auto peer = std::make_shared<Peer>(name, begun_);
    peers_[name] = peer;
    gate_->enter(address, peer);
  }
  void drop(const std::string& name) { peers_.erase(name); }
  void expect_counts(std::size_t under_way, std::size_t waiting) const {
    EXPECT_EQ(gate_->counts().under_way, under_way);
    EXPECT_EQ(gate_->counts().waiting, waiting);
  }

  std::shared_ptr<HandshakeGate> gate_ =
      std::make_shared<HandshakeGate>(HandshakeGate::Options{.most = 3, .most_of_address = 2});
  std::vector<std::string> begun_;
  std::map<std::string, std::shared_ptr<Peer>> peers_;
};

using Names = std::vector<std::string>;

TEST_F(HandshakeGateTest, OneAddressTakesNoMoreThanItsShare) {
  for (const char* name : {"a1", "a2", "a3", "a4"}) come("a", name);
  EXPECT_EQ(begun_, (Names{"a1", "a2"}));
  come("b", "b1");
  EXPECT_EQ(begun_, (Names{"a1", "a2", "b1"})) << "the others go on";
  expect_counts(3, 2);
  drop("a1");
  EXPECT_EQ(begun_, (Names{"a1", "a2", "b1", "a3"})) << "in the order in which they came";
  expect_counts(3, 1);
}

TEST_F(HandshakeGateTest, AddressesTakeTurns) {
  for (const char* name : {"a1", "a2", "a3", "a4", "a5"}) come("a", name);
  come("b", "b1");
  for (const char* name : {"b2", "b3"}) come("b", name);
  come("c", "c1");
  EXPECT_EQ(begun_, (Names{"a1", "a2", "b1"}));
  drop("a1");
  EXPECT_EQ(begun_.back(), "b2") << "b had room when it came, a has it only now";
  drop("a2");
  EXPECT_EQ(begun_.back(), "c1");
  drop("b1");
  EXPECT_EQ(begun_.back(), "a3");
  drop("c1");
  drop("b2");
  EXPECT_EQ(begun_, (Names{"a1", "a2", "b1", "b2", "c1", "a3", "b3", "a4"}));
}

TEST_F(HandshakeGateTest, WhoHasGoneWhileWaitingIsPassedOver) {
  for (const char* name : {"a1", "a2", "a3", "a4", "a5"}) come("a", name);
  drop("a3");
  drop("a4");
  expect_counts(2, 3);
  drop("a1");
  EXPECT_EQ(begun_, (Names{"a1", "a2", "a5"}));
  expect_counts(2, 0);
  drop("a2");
  drop("a5");
  expect_counts(0, 0);
}

TEST_F(HandshakeGateTest, APlaceOutlivesItsGate) {
  come("a", "a1");
  gate_.reset();
  drop("a1");
  EXPECT_EQ(begun_, Names{"a1"});
}

// Each thread comes and goes, from few addresses; whatever their order, everybody gets a place and no bound is broken.
TEST(HandshakeGateThreads, EverybodyGetsAPlace) {
  constexpr std::size_t kMost = 3;
  constexpr int kThreads = 4;
  constexpr int kEach = 5'000;
  struct Peer final : HandshakeGate::Waiter {
    void on_place(HandshakeGate::Place given) override {
      place = std::move(given);
      ready.store(true);
      ready.notify_one();
    }
    HandshakeGate::Place place;
    std::atomic<bool> ready{false};
  };
  const auto gate = std::make_shared<HandshakeGate>(HandshakeGate::Options{.most = kMost, .most_of_address = 2});
  std::atomic<std::size_t> now{0};
  std::atomic<std::size_t> most{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, address = std::string(1, static_cast<char>('a' + i % 2))] {
        for (int k = 0; k < kEach; ++k) {
          const auto peer = std::make_shared<Peer>();
          gate->enter(address, peer);
          peer->ready.wait(false);
          const std::size_t here = now.fetch_add(1) + 1;
          std::size_t before = most.load();
          while (before < here && !most.compare_exchange_weak(before, here)) {
          }
          now.fetch_sub(1);
          peer->place.reset();
        }
      });
    }
  }
  EXPECT_LE(most.load(), kMost);
  EXPECT_EQ(gate->counts().under_way, 0U);
  EXPECT_EQ(gate->counts().waiting, 0U);
}

}  // namespace
}  // namespace millrace::tls
