// Who a device is and what it may do, as the registry's topic says it, over the gateway's protocols.
#include <millrace/base/time.hpp>
#include <millrace/credentials/password.hpp>

#include "gateway_fixture.hpp"
#include "mqtt_client.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::MqttClient;
using mqtt::PacketType;
using mqtt::ReasonCode;
using mqtt::Version;
using registry::v1::Entry;

constexpr const char* kPassword = "correct: horse@battery";

class IdentityTest : public GatewayFixture {
 protected:
  void SetUp() override {
    GatewayFixture::SetUp();
    if (!app_) return;
    ASSERT_TRUE(eventually([&] { return login(kToken) == ReasonCode::kSuccess; }));
  }

  static Entry device_credentials(const char* device = "m-1") {
    Entry entry;
    entry.mutable_credentials()->set_tenant("acme");
    entry.mutable_credentials()->set_device(device);
    return entry;
  }
  static registry::v1::Credential& add(Entry& entry, const char* id) {
    auto* credential = entry.mutable_credentials()->add_credentials();
    credential->set_credential_id(id);
    return *credential;
  }
  static Entry with_password() {
    static const std::string phc = *credentials::hash_password(kPassword);
    Entry entry = device_credentials();
    add(entry, "c1").set_password_phc(phc);
    return entry;
  }
  void put(const Entry& entry) { put_registry("credentials/acme/" + entry.credentials().device(), entry); }

  MqttClient client(Version version = Version::k5) { return {app_->mqtt_address(), version}; }
  ReasonCode login(const std::string& password, Version version = Version::k5) {
    return client(version).connect({.password = password}).reason;
  }
  RawAnswer post_basic(const std::string& password) {
    RawSocket socket(app_->http_address());
    socket.send("POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + to_base64("m-1@acme:" + password) +
                "\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    return socket.answer();
  }
};

TEST_F(IdentityTest, APasswordIsAsGoodAsAToken) {
  EXPECT_EQ(login(kPassword), ReasonCode::kBadUserNameOrPassword) << "there is none yet";
  put(with_password());
  ASSERT_TRUE(eventually([&] { return login(kPassword) == ReasonCode::kSuccess; }));
  EXPECT_EQ(login(kPassword, Version::k311), ReasonCode::kSuccess);
  EXPECT_EQ(post_basic(kPassword).status, 202);
  EXPECT_EQ(login(kToken), ReasonCode::kSuccess) << "the token stays good beside it";
  EXPECT_EQ(login("wrong password"), ReasonCode::kBadUserNameOrPassword);
  const RawAnswer refused = post_basic("wrong password");
  EXPECT_EQ(refused.status, 401);
  EXPECT_NE(refused.body.find("unknown device, wrong token or password"), std::string::npos) << refused.body;
  EXPECT_EQ(post("{}", "", "wrong token").body, refused.body) << "nobody learns what there is";
}

// What comes behind CONNECT waits until the password is checked.
TEST_F(IdentityTest, PacketsBehindAConnectWithAPasswordAreTakenAfterIt) {
  put(with_password());
  ASSERT_TRUE(eventually([&] { return login(kPassword) == ReasonCode::kSuccess; }));
  Entry second = with_password();  // another hash: nothing is remembered of it
  second.mutable_credentials()->mutable_credentials(0)->set_password_phc(*credentials::hash_password(kPassword));
  second.mutable_credentials()->mutable_credentials(0)->set_credential_id("c2");
  put(second);
  put_registry("device/acme/m-3", [] {
    Entry entry;
    entry.ParseFromString(device_entry("m-3", 9, "mt_third", 4));
    return entry;
  }());
  ASSERT_TRUE(eventually([&] { return post("{\"a\":1}", "", "mt_third").status == 202; })) << "both entries are read";
  MqttClient device = client();
  mqtt::Connect connect;
  connect.client_id = "pipelined";
  connect.user_name = "m-1@acme";
  connect.password = kPassword;
  std::string bytes;
  mqtt::encode(connect, bytes);
  mqtt::Publish publish;
  publish.topic = "devices/m-1/telemetry";
  publish.payload = R"({"pipelined":1})";
  publish.qos = mqtt::Qos::kAtLeastOnce;
  publish.packet_id = 7;
  mqtt::encode(Version::k5, publish, bytes);
  device.socket().send(bytes);
  EXPECT_EQ(device.connack().reason, ReasonCode::kSuccess);
  const MqttClient::Answer answer = device.answer();
  EXPECT_EQ(answer.type, PacketType::kPuback);
  EXPECT_EQ(answer.packet_id, 7);
  EXPECT_EQ(answer.reason, ReasonCode::kSuccess);
}

TEST_F(IdentityTest, TooManyWrongPasswordsAreNotHashedAnyMore) {
  put(with_password());
  ASSERT_TRUE(eventually([&] { return login(kPassword) == ReasonCode::kSuccess; }));
  int wrong = 0;
  while (login("wrong password") == ReasonCode::kBadUserNameOrPassword && wrong < 30) ++wrong;
  EXPECT_GE(wrong, 9) << "ten at once";
  EXPECT_LE(wrong, 15);
  EXPECT_EQ(login("wrong password"), ReasonCode::kQuotaExceeded);
  const RawAnswer answer = post_basic("wrong password");
  EXPECT_EQ(answer.status, 429);
  EXPECT_TRUE(answer.has("Retry-After: 10\r\n")) << answer.header;
  EXPECT_NE(answer.body.find("\"type\":\"/problems/limit\""), std::string::npos) << answer.body;
  EXPECT_EQ(login(kPassword), ReasonCode::kSuccess) << "what was right before is remembered";
}

/// Room for three large requests that wait for the one thread that checks passwords.
class NarrowIdentityTest : public IdentityTest {
 protected:
  void adjust(Config& config) override {
    config.password_threads = 1;
    config.max_waiting_bytes = std::size_t{800} * 1024;
  }
};

TEST_F(NarrowIdentityTest, RequestsThatWaitForAPasswordAreBoundedByTheirBytes) {
  put(with_password());
  ASSERT_TRUE(eventually([&] { return login(kPassword) == ReasonCode::kSuccess; }));
  constexpr int kRequests = 8;  // fewer than there may be wrong passwords
  std::string request = "POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " +
                        to_base64("m-1@acme:wrong password") + "\r\nContent-Length: 250000\r\n\r\n" +
                        std::string(250'000, ' ');
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += request;
  RawSocket socket(app_->http_address());
  socket.send(all);
  int looked_at = 0;
  int no_room = 0;
  for (int i = 0; i < kRequests; ++i) {
    const RawAnswer answer = socket.answer();
    if (answer.status == 401) ++looked_at;
    if (answer.status != 503) continue;
    ++no_room;
    EXPECT_TRUE(answer.has("Retry-After: 1\r\n")) << answer.header;
    EXPECT_NE(answer.body.find("wait for their credentials"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(looked_at + no_room, kRequests);
  EXPECT_GE(looked_at, 3);
  EXPECT_GE(no_room, 1);
  EXPECT_EQ(post_basic(kPassword).status, 202) << "there is room again";
}

TEST_F(IdentityTest, TheEndOfAWindowEndsTheSession) {
  Entry entry = device_credentials();
  auto& token = add(entry, "c1");
  token.set_token_sha256(std::string(bytes_of(sha256("mt_short"))));
  const TimeUs end = now_us() + 8 * kUsPerSecond;
  token.set_not_after_us(end);
  put(entry);
  std::optional<MqttClient> fresh;
  ASSERT_TRUE(eventually([&] {
    fresh.emplace(app_->mqtt_address(), Version::k5);
    return fresh->connect({.password = "mt_short", .client_id = "fresh"}).reason == ReasonCode::kSuccess;
  }));
  MqttClient old = client(Version::k311);
  ASSERT_EQ(old.connect({.password = "mt_short", .client_id = "old"}).reason, ReasonCode::kSuccess);
  const MqttClient::Answer answer = fresh->answer();
  EXPECT_EQ(answer.type, PacketType::kDisconnect);
  EXPECT_EQ(answer.reason, ReasonCode::kNotAuthorized);
  EXPECT_GE(now_us(), end);
  EXPECT_LT(now_us(), end + kUsPerSecond);
  EXPECT_TRUE(old.socket().at_end());
  EXPECT_EQ(login("mt_short"), ReasonCode::kBadUserNameOrPassword);
  EXPECT_EQ(post("{\"a\":1}", "", "mt_short").status, 401);
}

// A will that waits for its delay is due when a connection with clean start ends its session.
TEST_F(IdentityTest, AWillDoesNotOutliveTheCredentialOfItsConnection) {
  Entry both = device_credentials();
  add(both, "c1").set_token_sha256(std::string(bytes_of(sha256("mt_one"))));
  add(both, "c2").set_token_sha256(std::string(bytes_of(sha256("mt_two"))));
  put(both);
  ASSERT_TRUE(eventually([&] { return login("mt_two") == ReasonCode::kSuccess; }));
  mqtt::PropertyWriter delay;
  delay.add(mqtt::PropertyId::kWillDelayInterval, 600U);
  mqtt::Will will{"devices/m-1/status", "", mqtt::Qos::kAtLeastOnce, false, delay.view()};
  const auto with_will = [&](const char* client_id, const char* token, const char* payload) {
    will.payload = payload;
    auto device = std::make_unique<MqttClient>(app_->mqtt_address(), Version::k5);
    EXPECT_EQ(
        device->connect({.password = token, .client_id = client_id, .clean = false, .expiry_s = 600, .will = will})
            .reason,
        ReasonCode::kSuccess);
    return device;
  };
  static_cast<void>(with_will("cut", "mt_one", R"({"cut":1})"));
  static_cast<void>(with_will("good", "mt_two", R"({"good":1})"));
  const auto closed = with_will("closed", "mt_one", R"({"closed":1})");
  Entry second = device_credentials();
  add(second, "c2").set_token_sha256(std::string(bytes_of(sha256("mt_two"))));
  put(second);
  EXPECT_EQ(closed->answer().reason, ReasonCode::kNotAuthorized);
  EXPECT_TRUE(closed->socket().at_end());
  for (const char* client_id : {"cut", "closed", "good"}) {
    EXPECT_EQ(client().connect({.password = "mt_two", .client_id = client_id}).reason, ReasonCode::kSuccess);
  }
  ASSERT_TRUE(eventually([&] { return !stored_metric("status.good").empty(); }));
  EXPECT_EQ(post(R"({"after":1})").status, 202);
  EXPECT_TRUE(stored_metric("status.cut").empty());
  EXPECT_TRUE(stored_metric("status.closed").empty());
}

// The registry gives each device a number of its own.
TEST_F(IdentityTest, ADeviceMadeAnewUnderAnIdGetsNothingOfTheOldOne) {
  const auto put_device = [&](int key, const char* token, int revision) {
    Entry entry;
    entry.ParseFromString(device_entry("m-3", key, token, revision));
    put_registry("device/acme/m-3", entry);
  };
  const MqttClient::Login old_login{
      .user = "m-3@acme", .password = "mt_old", .client_id = "lasting", .clean = false, .expiry_s = 600};
  MqttClient::Login new_login = old_login;
  new_login.password = "mt_new";
  mqtt::PropertyWriter delay;
  delay.add(mqtt::PropertyId::kWillDelayInterval, 600U);
  MqttClient::Login open_login = old_login;
  open_login.client_id = "open";
  open_login.will = mqtt::Will{"devices/m-3/status", R"({"remade":1})", mqtt::Qos::kAtLeastOnce, false, delay.view()};
  put_device(9, "mt_old", 10);
  ASSERT_TRUE(eventually([&] { return client().connect(open_login).reason == ReasonCode::kSuccess; }));
  {
    MqttClient device = client();
    ASSERT_EQ(device.connect(old_login).reason, ReasonCode::kSuccess);
    ASSERT_EQ(device.subscribe({"devices/m-3/commands/#"}), std::vector{ReasonCode::kGrantedQos1});
  }
  EXPECT_TRUE(client().connect(old_login).session_present);

  put_device(10, "mt_new", 11);
  MqttClient::Connected again;
  ASSERT_TRUE(eventually([&] { return (again = client().connect(new_login)).reason == ReasonCode::kSuccess; }));
  EXPECT_FALSE(again.session_present);
  EXPECT_TRUE(client().connect(new_login).session_present) << "from here on it is its own";
  new_login.client_id = "open";
  new_login.clean = true;
  EXPECT_EQ(client().connect(new_login).reason, ReasonCode::kSuccess);
  EXPECT_EQ(post(R"({"after":1})").status, 202);
  EXPECT_TRUE(stored_metric("status.remade").empty());
}

TEST_F(IdentityTest, ACredentialThatIsTakenAwayEndsItsSessionsOnly) {
  put(with_password());
  std::optional<MqttClient> by_password;
  ASSERT_TRUE(eventually([&] {
    by_password.emplace(app_->mqtt_address(), Version::k5);
    return by_password->connect({.password = kPassword, .client_id = "password"}).reason == ReasonCode::kSuccess;
  }));
  MqttClient by_token = client();
  ASSERT_EQ(by_token.connect({.client_id = "token"}).reason, ReasonCode::kSuccess);
  put(device_credentials());
  const MqttClient::Answer answer = by_password->answer();
  EXPECT_EQ(answer.type, PacketType::kDisconnect);
  EXPECT_EQ(answer.reason, ReasonCode::kNotAuthorized);
  by_token.publish(1, "devices/m-1/telemetry", R"({"a":1})");
  EXPECT_EQ(by_token.answer().type, PacketType::kPuback);
  EXPECT_EQ(login(kPassword), ReasonCode::kBadUserNameOrPassword);
}

}  // namespace
}  // namespace millrace::gateway
