// Devices that come, publish once and go, against a gateway that does what the script says.
#include "load/once_load.hpp"

#include <atomic>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "readings/meter_readings.hpp"
#include "test_gateway.hpp"

namespace millrace::fleet {
namespace {

using testing::Arrival;
using testing::Script;
using testing::TestGateway;

struct Run {
  explicit Run(std::size_t devices) : ledger(devices, MessagesEach::kOne), outcome(&ledger, nullptr) {}
  Ledger ledger;
  Outcome outcome;
  LoadResult result;
  std::vector<Arrival> arrivals;
  int protocol_errors = 0;
  std::size_t most_up = 0;
};

struct Plan {
  Protocol protocol = Protocol::kMqtt311;
  std::size_t devices = 500;
  std::size_t connections = 20;
  double rate = 0;
  int drain_ms = 60'000;
  int duration_ms = 0;
};

std::unique_ptr<Run> run(const Plan& plan, Script script) {
  TestGateway gateway(plan.protocol == Protocol::kHttp ? TestGateway::Speaks::kHttp : TestGateway::Speaks::kMqtt, {},
                      std::move(script));
  const MeterReadings readings({.seed = 3, .untimed_share = 0.5, .sequence_base = 700}, 2);
  std::vector<Device> devices;
  for (std::size_t i = 0; i < plan.devices; ++i) devices.push_back({"d" + std::to_string(i), "token", plan.protocol});
  auto result = std::make_unique<Run>(plan.devices);
  LoadOptions options;
  options.rate = plan.rate;
  options.drain = std::chrono::milliseconds(plan.drain_ms);
  options.duration = std::chrono::milliseconds(plan.duration_ms);
  options.tenant = "t";
  options.message_id_base = "run-";
  options.mqtt = options.http = {"127.0.0.1", gateway.port()};
  OnceLoad load(options, plan.connections, readings, devices, result->outcome);
  const auto done =
      load.run([&](const LoadState& state) { result->most_up = std::max(result->most_up, state.links_up); });
  EXPECT_TRUE(done.ok());
  result->result = *done;
  gateway.stop();
  result->arrivals = gateway.arrivals;
  result->protocol_errors = gateway.protocol_errors;
  return result;
}

std::uint64_t with_fate(const Run& run, Fate fate) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < run.ledger.devices(); ++i) {
    for (const LedgerEntry& entry : run.ledger.device(i)) count += entry.fate == fate ? 1 : 0;
  }
  return count;
}

TEST(OnceLoad, EveryDeviceComesOnceAndGoes) {
  for (const Protocol protocol : {Protocol::kMqtt311, Protocol::kMqtt5, Protocol::kHttp}) {
    Plan plan;
    plan.protocol = protocol;
    const auto result = run(plan, [](const Arrival&) { return 202; });
    std::set<std::string> who;
    std::set<int> connections;
    for (const Arrival& arrival : result->arrivals) {
      who.insert(arrival.who);
      connections.insert(arrival.connection);
      EXPECT_NE(arrival.payload.find("\"sequence\":701"), std::string::npos) << arrival.payload;
    }
    EXPECT_EQ(result->arrivals.size(), plan.devices);
    EXPECT_EQ(who.size(), plan.devices);
    EXPECT_EQ(connections.size(), plan.devices);
    EXPECT_EQ(result->protocol_errors, 0);
    EXPECT_EQ(result->outcome.acknowledged_count, plan.devices);
    EXPECT_EQ(result->outcome.lost_connections, 0U) << "a goodbye is no loss";
    EXPECT_EQ(with_fate(*result, Fate::kAcknowledged), plan.devices);
    EXPECT_EQ(result->ledger.device(0)[0].receipt.given(), protocol != Protocol::kMqtt311);
  }
}

TEST(OnceLoad, NoMoreThanSoManyAreThereAtATime) {
  Plan plan;
  plan.devices = 60;
  plan.connections = 7;
  plan.drain_ms = 1'500;
  // Nobody is answered: who has come stays until it is given up.
  std::set<std::string> first;
  const auto result = run(plan, [&first](const Arrival& arrival) {
    if (first.size() < 7) first.insert(arrival.who);
    return first.contains(arrival.who) ? 0 : 202;
  });
  EXPECT_EQ(result->most_up, 7U);
  EXPECT_EQ(with_fate(*result, Fate::kSent), 7U);
  EXPECT_EQ(with_fate(*result, Fate::kAcknowledged), 53U);
}

TEST(OnceLoad, TheRateBoundsHowManyCome) {
  Plan plan;
  plan.devices = 300;
  plan.rate = 300;
  const auto result = run(plan, [](const Arrival&) { return 202; });
  EXPECT_EQ(result->outcome.acknowledged_count, plan.devices);
  EXPECT_GT(result->result.seconds, 0.95);
}

TEST(OnceLoad, ALostConnectionIsMadeAgainWithTheSameMessage) {
  Plan plan;
  plan.devices = 50;
  std::map<std::string, int> seen;
  const auto result = run(plan, [&seen](const Arrival& arrival) { return ++seen[arrival.who] == 1 ? -1 : 202; });
  EXPECT_EQ(result->outcome.acknowledged_count, plan.devices);
  EXPECT_EQ(result->outcome.resent_count, plan.devices);
  std::map<std::string, std::set<std::string>> payloads;
  for (const Arrival& arrival : result->arrivals) {
    payloads[arrival.who].insert(arrival.payload);
    EXPECT_EQ(arrival.dup, payloads[arrival.who].size() == 1 && arrival.dup);
  }
  for (const auto& [who, different] : payloads) EXPECT_EQ(different.size(), 1U) << who;
}

TEST(OnceLoad, ARefusalEndsTheTurnToo) {
  Plan plan;
  plan.protocol = Protocol::kMqtt5;
  plan.devices = 40;
  const auto result = run(plan, [](const Arrival& arrival) { return arrival.who == "d7" ? 400 : 202; });
  EXPECT_EQ(result->outcome.acknowledged_count, plan.devices - 1);
  EXPECT_EQ(result->outcome.refused_count, 1U);
  EXPECT_EQ(result->ledger.device(7)[0].fate, Fate::kRefused);
}

TEST(OnceLoad, WhoseTurnDidNotComeHasNoRow) {
  Plan plan;
  plan.devices = 10'000;
  plan.rate = 200;
  plan.duration_ms = 500;
  const auto result = run(plan, [](const Arrival&) { return 202; });
  EXPECT_GT(result->outcome.acknowledged_count, 10U);
  EXPECT_LT(result->outcome.acknowledged_count, 500U);
  EXPECT_EQ(with_fate(*result, Fate::kAcknowledged), result->outcome.acknowledged_count);
  EXPECT_TRUE(result->ledger.device(9'999).empty());
}

}  // namespace
}  // namespace millrace::fleet
