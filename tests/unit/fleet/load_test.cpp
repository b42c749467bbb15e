// The load against a gateway that does what the script says.
#include "load/load.hpp"

#include <algorithm>
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
  Ledger ledger;
  Outcome outcome;
  LoadResult result;
  std::vector<Arrival> arrivals;
  int protocol_errors = 0;

  explicit Run(std::size_t devices) : ledger(devices), outcome(&ledger, nullptr) {}
};

struct Plan {
  Protocol protocol = Protocol::kMqtt311;
  std::size_t devices = 4;
  double rate = 2000;
  int duration_ms = 500;
  std::size_t window = 50;
  int qos = 1;
  mqtt::ServerOptions server;
};

std::unique_ptr<Run> run(const Plan& setup, Script script) {
  TestGateway gateway(setup.protocol == Protocol::kHttp ? TestGateway::Speaks::kHttp : TestGateway::Speaks::kMqtt,
                      setup.server, std::move(script));
  const MeterReadings readings({.seed = 3, .untimed_share = 0.5}, 3);
  std::vector<Device> devices;
  for (std::size_t i = 0; i < setup.devices; ++i) devices.push_back({"d" + std::to_string(i), "token", setup.protocol});
  auto result = std::make_unique<Run>(setup.devices);
  LoadOptions options;
  options.rate = setup.rate;
  options.duration = std::chrono::milliseconds(setup.duration_ms);
  options.drain = std::chrono::milliseconds(60'000);
  options.window = setup.window;
  options.qos = setup.qos;
  options.tenant = "t";
  options.message_id_base = "run-";
  options.mqtt = options.http = {"127.0.0.1", gateway.port()};
  Load load(options, readings, devices, result->outcome);
  const auto done = load.run([](const LoadState&) {});
  EXPECT_TRUE(done.ok());
  result->result = *done;
  gateway.stop();
  result->arrivals = gateway.arrivals;
  result->protocol_errors = gateway.protocol_errors;
  return result;
}

/// Every message arrived, and whatever arrived more than once did so with the same bytes and the same key.
void expect_complete(const Run& run, std::uint64_t least_repeats) {
  EXPECT_GT(run.outcome.made_count, 300U);
  EXPECT_EQ(run.outcome.acknowledged_count, run.outcome.made_count);
  EXPECT_EQ(run.outcome.sent_count, run.outcome.made_count);
  EXPECT_EQ(run.protocol_errors, 0);
  std::map<std::pair<std::string, std::string>, std::string> payloads;
  std::set<std::pair<std::string, std::string>> different;
  std::uint64_t repeats = 0;
  for (const Arrival& arrival : run.arrivals) {
    const auto [at, fresh] = payloads.try_emplace({arrival.who, arrival.key}, arrival.payload);
    if (!fresh) ++repeats;
    EXPECT_EQ(at->second, arrival.payload) << "another message under the same key";
    different.emplace(arrival.who, arrival.payload);
  }
  EXPECT_EQ(different.size(), run.outcome.made_count);
  EXPECT_GE(repeats, least_repeats);
  for (std::size_t device = 0; device < run.ledger.devices(); ++device) {
    for (const LedgerEntry& entry : run.ledger.device(device)) EXPECT_EQ(entry.fate, Fate::kAcknowledged);
  }
}

TEST(Load, EveryMessageOnceWhereNothingGoesWrong) {
  for (const Protocol protocol : {Protocol::kMqtt311, Protocol::kMqtt5, Protocol::kHttp}) {
    Plan setup;
    setup.protocol = protocol;
    const auto result = run(setup, [](const Arrival&) { return 202; });
    expect_complete(*result, 0);
    EXPECT_EQ(result->outcome.resent_count, 0U);
    EXPECT_EQ(result->arrivals.size(), result->outcome.made_count);
    EXPECT_EQ(result->ledger.device(0)[0].receipt.given(), protocol != Protocol::kMqtt311);
    EXPECT_GT(result->result.cpu_us_per_message, 0);
    EXPECT_EQ(result->outcome.ack_latencies.count(), result->outcome.acknowledged_count);
  }
}

TEST(Load, MqttSendsAgainWithDupAndTheSameIdOnTheNextConnection) {
  for (const Protocol protocol : {Protocol::kMqtt311, Protocol::kMqtt5}) {
    Plan setup;
    setup.protocol = protocol;
    setup.devices = 1;
    int count = 0;
    // Time and again the last messages get no answer, and then the connection goes.
    const auto result = run(setup, [count](const Arrival&) mutable {
      if (++count > 800) return 202;
      if (count % 100 == 0) return -1;
      return count % 100 > 80 ? 0 : 202;
    });
    expect_complete(*result, 20);
    EXPECT_GT(result->outcome.resent_count, 20U);
    EXPECT_GT(result->outcome.lost_connections, 2U);
    std::map<std::pair<std::string, std::string>, int> first;
    for (const Arrival& arrival : result->arrivals) {
      const auto [at, fresh] = first.try_emplace({arrival.who, arrival.key}, arrival.connection);
      if (!fresh) {
        EXPECT_TRUE(arrival.dup);
        EXPECT_GT(arrival.connection, at->second) << "only on a later connection";
      }
    }
  }
}

TEST(Load, WithoutAnswersItWaitsUntilTheServerHasReadEverything) {
  for (const double rate : {0.0, 2000.0}) {
    Plan setup;
    setup.qos = 0;
    setup.rate = rate;
    setup.duration_ms = 300;
    const auto result = run(setup, [](const Arrival&) { return 202; });
    EXPECT_GT(result->outcome.sent_count, 300U);
    EXPECT_EQ(result->outcome.sent_count, result->outcome.made_count);
    EXPECT_EQ(result->arrivals.size(), result->outcome.sent_count);
    EXPECT_EQ(result->outcome.acknowledged_count, 0U);
    EXPECT_EQ(result->protocol_errors, 0);
  }
}

TEST(Load, TheServersReceiveMaximumIsKept) {
  Plan setup;
  setup.protocol = Protocol::kMqtt5;
  setup.server.receive_maximum = 3;
  setup.rate = 0;
  setup.duration_ms = 300;
  const auto result = run(setup, [](const Arrival&) { return 202; });
  expect_complete(*result, 0);
}

TEST(Load, HttpKeepsItsKeyThroughBusyUnknownAndLostConnections) {
  Plan setup;
  setup.protocol = Protocol::kHttp;
  int count = 0;
  const auto result = run(setup, [count](const Arrival&) mutable {
    ++count;
    if (count == 200) return 503;
    if (count % 150 == 0) return 504;
    if (count % 150 == 75) return -1;
    return 202;
  });
  expect_complete(*result, 5);
  EXPECT_EQ(result->outcome.pushed_back, 1U);
  EXPECT_GE(result->outcome.unknown, 2U);
  for (const Arrival& arrival : result->arrivals) EXPECT_TRUE(arrival.key.starts_with("run-"));
}

TEST(Load, RefusedIsFinal) {
  for (const Protocol protocol : {Protocol::kMqtt5, Protocol::kHttp}) {
    Plan setup;
    setup.protocol = protocol;
    int count = 0;
    const auto result = run(setup, [count](const Arrival&) mutable { return ++count % 10 == 0 ? 400 : 202; });
    EXPECT_GT(result->outcome.refused_count, 50U);
    EXPECT_EQ(result->outcome.refused_count + result->outcome.acknowledged_count, result->outcome.made_count);
    EXPECT_EQ(result->outcome.resent_count, 0U);
  }
}

TEST(Load, AnAddressThatDoesNotExistIsToldAtOnce) {
  const MeterReadings readings({}, 1);
  const std::vector<Device> devices{{"d", "t", Protocol::kMqtt311}};
  Outcome outcome(nullptr, nullptr);
  LoadOptions options;
  options.mqtt = {"no-such-host.invalid", 1883};
  Load load(options, readings, devices, outcome);
  EXPECT_FALSE(load.run([](const LoadState&) {}));
}

}  // namespace
}  // namespace millrace::fleet
