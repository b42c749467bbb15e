// One greedy client and a polite one, while Kafka is slow: told by counts, not by the clock.
#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "gateway_fixture.hpp"
#include "mqtt_client.hpp"

namespace millrace::gateway {
namespace {

using mqtt::Qos;
using mqtt::Version;
using testing::MqttClient;

constexpr std::size_t kProcessBytes = 4 << 20;

/// Records stay in flight for long (a batch is not sent before its time), and there is little memory for them.
class FairnessTest : public GatewayFixture {
 protected:
  void adjust(Config& config) override {
    config.linger_ms = 300;
    config.max_in_flight_bytes = kProcessBytes;
    config.receive_maximum = 65'535;
  }
  /// Everything in flight of the whole gateway, as its metric says.
  double in_flight() { return static_cast<double>(app_->in_flight_bytes()); }
};

std::unique_ptr<MqttClient> connected(const Address& address, Version version, const std::string& device,
                                      const std::string& token) {
  auto client = std::make_unique<MqttClient>(address, version);
  const auto answer = client->connect({.user = device + "@acme", .password = token, .client_id = device + "-c"});
  EXPECT_EQ(answer.reason, mqtt::ReasonCode::kSuccess);
  return client;
}

/// Sends without waiting for answers until told to stop, as fast as the gateway reads.
class Flood {
 public:
  Flood(std::unique_ptr<MqttClient> client, const std::string& topic, Qos qos) : client_(std::move(client)) {
    thread_ = std::jthread([this, topic, qos](const std::stop_token& stop) {
      const std::string payload = R"({"flood":")" + std::string(2000, 'x') + "\"}";
      std::uint16_t id = 0;
      while (!stop.stop_requested()) {
        id = static_cast<std::uint16_t>(id % 60'000 + 1);
        client_->publish(id, topic, payload, qos);
        sent_.fetch_add(1);
      }
    });
  }
  ~Flood() { stop(); }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  void stop() {
    thread_.request_stop();
    client_->socket().shut_down_sending();  // ends a send that waits
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::size_t sent() const { return sent_.load(); }

 private:
  std::unique_ptr<MqttClient> client_;
  std::atomic<std::size_t> sent_{0};
  std::jthread thread_;
};

class Floods : public FairnessTest, public ::testing::WithParamInterface<std::pair<Version, Qos>> {};

TEST_P(Floods, LeaveRoomForWhoHasLittleInFlight) {
  const auto [version, qos] = GetParam();
  const auto polite = connected(app_->mqtt_address(), Version::k311, "m-2", kSecondToken);
  Flood flood(connected(app_->mqtt_address(), version, "m-1", kToken), "devices/m-1/telemetry", qos);
  ASSERT_TRUE(eventually([&] { return flood.sent() > 500; }));
  double most = 0;
  for (std::uint16_t id = 1; id <= 20; ++id) {
    polite->publish(id, "devices/m-2/telemetry", R"({"polite":1})");
    const auto answer = polite->answer();
    ASSERT_EQ(answer.type, mqtt::PacketType::kPuback) << id;
    ASSERT_EQ(answer.packet_id, id);
    most = std::max(most, in_flight());
  }
  EXPECT_LT(most, static_cast<double>(kProcessBytes)) << "the memory was never full, so nobody was held";
  flood.stop();  // the log is read to its end, which must not run away
  EXPECT_EQ(stored_metric("polite").size(), 20U);
}

INSTANTIATE_TEST_SUITE_P(All, Floods,
                         ::testing::Values(std::pair{Version::k311, Qos::kAtLeastOnce},
                                           std::pair{Version::k5, Qos::kAtLeastOnce},
                                           std::pair{Version::k311, Qos::kAtMostOnce}));

}  // namespace
}  // namespace millrace::gateway
