// What a device may do beyond its own readings: children, local topics, receipts.
#include "gateway_fixture.hpp"
#include "mqtt_client.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::MqttClient;
using mqtt::PacketType;
using mqtt::Qos;
using mqtt::ReasonCode;
using mqtt::Version;
using registry::v1::Entry;

class RightsTest : public GatewayFixture {
 protected:
  void SetUp() override {
    GatewayFixture::SetUp();
    if (!app_) return;
    ASSERT_TRUE(eventually([&] { return client().connect({}).reason == ReasonCode::kSuccess; }));
  }

  static Entry grants() {
    Entry entry;
    entry.mutable_credentials()->set_tenant("acme");
    entry.mutable_credentials()->set_device("m-1");
    return entry;
  }
  static void add_rule(Entry& entry, const char* filter, bool publish, bool subscribe) {
    auto* rule =
        entry.has_policy() ? entry.mutable_policy()->add_device_topics() : entry.mutable_credentials()->add_topics();
    rule->set_filter(filter);
    rule->set_publish(publish);
    rule->set_subscribe(subscribe);
  }
  static Entry policy() {
    Entry entry;
    entry.mutable_policy()->set_tenant("acme");
    return entry;
  }
  void put(const Entry& entry) {
    put_registry(entry.has_policy() ? "policy/acme" : "credentials/acme/" + entry.credentials().device(), entry);
  }
  MqttClient client(Version version = Version::k5) { return {app_->mqtt_address(), version}; }

  /// Until a device may subscribe to it: the entry has been read.
  [[nodiscard]] bool may_subscribe(const std::string& filter, const std::string& user = "m-1@acme",
                                   const std::string& token = kToken) {
    return eventually([&] {
      MqttClient probe = client();
      if (probe.connect({.user = user, .password = token, .client_id = "probe"}).reason != ReasonCode::kSuccess)
        return false;
      return probe.subscribe({filter}) == std::vector{ReasonCode::kGrantedQos1};
    });
  }
};

TEST_F(RightsTest, AGatewaySpeaksForItsChildren) {
  Entry entry = grants();
  entry.mutable_credentials()->add_children("m-2");
  entry.mutable_credentials()->add_children("ghost-*");
  put(entry);
  ASSERT_TRUE(may_subscribe("devices/m-2/commands/#"));
  MqttClient device = client();
  ASSERT_EQ(device.connect({}).reason, ReasonCode::kSuccess);
  device.publish(1, "devices/m-2/telemetry", R"({"power":3})");
  const MqttClient::Answer answer = device.answer();
  ASSERT_EQ(answer.reason, ReasonCode::kSuccess);
  const auto batch = stored(answer.receipt);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->device, "m-2");
  EXPECT_EQ(batch->device_key, 8);
  EXPECT_EQ(batch->delivery.client_id, "m-1/client-1") << "apart from a client id of the child itself";
  device.publish(2, "devices/ghost-1/telemetry", R"({"power":3})");
  EXPECT_EQ(device.answer().reason, ReasonCode::kNotAuthorized) << "no such device";
  device.publish(3, "devices/other/telemetry", R"({"power":3})");
  EXPECT_EQ(device.answer().reason, ReasonCode::kNotAuthorized);

  const auto post_for = [&](const std::string& child) {
    RawSocket socket(app_->http_address());
    socket.send("POST /v1/devices/" + child + "/telemetry/rpm HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                std::string(kToken) + "\r\nContent-Length: 1\r\n\r\n7");
    return socket.answer();
  };
  const RawAnswer posted = post_for("m-2");
  ASSERT_EQ(posted.status, 202) << posted.body;
  EXPECT_EQ(stored(receipt_of(posted.body))->device, "m-2");
  EXPECT_EQ(stored(receipt_of(post_for("m-1").body))->device, "m-1");
  EXPECT_EQ(post_for("ghost-1").status, 403);
  EXPECT_EQ(post_for("other").status, 403);

  put_registry("device/acme/m-2", [] {
    Entry disabled;
    disabled.ParseFromString(device_entry("m-2", 8, kSecondToken, 9, false));
    return disabled;
  }());
  ASSERT_TRUE(eventually([&] { return post_for("m-2").status == 403; }));
  device.publish(4, "devices/m-2/telemetry", R"({"power":3})");
  EXPECT_EQ(device.answer().reason, ReasonCode::kNotAuthorized);
}

TEST_F(RightsTest, WhatIsMeantForADisabledChildIsNotHeard) {
  const auto put_child = [&](int revision, bool enabled) {
    Entry child;
    child.ParseFromString(device_entry("m-2", 8, kSecondToken, revision, enabled));
    put_registry("device/acme/m-2", child);
  };
  Entry entry = grants();
  entry.mutable_credentials()->add_children("m-2");
  entry.mutable_credentials()->add_children("later-*");
  put(entry);
  ASSERT_TRUE(may_subscribe("devices/m-2/commands/#"));
  const MqttClient::Login login{.client_id = "lasting", .clean = false, .expiry_s = 600};
  MqttClient device = client();
  ASSERT_EQ(device.connect(login).reason, ReasonCode::kSuccess);
  ASSERT_EQ(device.subscribe({"devices/m-2/commands/#", "devices/later-1/commands"}),
            (std::vector{ReasonCode::kGrantedQos1, ReasonCode::kGrantedQos1}));
  MqttClient other = client();
  ASSERT_EQ(other.connect({.client_id = "other"}).reason, ReasonCode::kSuccess);
  ASSERT_EQ(other.subscribe({"devices/m-1/commands/#", "devices/later-1/commands"}),
            (std::vector{ReasonCode::kGrantedQos1, ReasonCode::kGrantedQos1}));
  put_child(20, false);
  const MqttClient::Answer answer = device.answer();
  EXPECT_EQ(answer.type, PacketType::kDisconnect);
  EXPECT_EQ(answer.reason, ReasonCode::kAdministrativeAction);
  EXPECT_EQ(other.subscribe({"devices/m-2/commands", "devices/m-2/errors", "devices/m-1/errors"}),
            (std::vector{ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized, ReasonCode::kGrantedQos1}));
  EXPECT_FALSE(client().connect(login).session_present) << "its subscription has gone with it";
  put_child(21, true);
  EXPECT_TRUE(may_subscribe("devices/m-2/commands/#"));
}

TEST_F(RightsTest, LocalTopicsGoFromDeviceToDeviceOfOneTenant) {
  MqttClient before = client();
  const auto told = before.connect({.client_id = "before"});
  EXPECT_EQ(told.numbers.at(mqtt::PropertyId::kSharedSubscriptionAvailable), 0U);
  before.publish(1, "plant/m-1", "x");
  EXPECT_EQ(before.answer().reason, ReasonCode::kNotAuthorized);

  Entry entry = policy();
  add_rule(entry, "plant/#", false, true);
  add_rule(entry, "plant/{device}/#", true, false);
  put(entry);
  ASSERT_TRUE(may_subscribe("plant/#", "m-2@acme", kSecondToken));
  MqttClient listener = client();
  EXPECT_FALSE(listener.connect({.user = "m-2@acme", .password = kSecondToken, .client_id = "listener"})
                   .numbers.contains(mqtt::PropertyId::kSharedSubscriptionAvailable));
  EXPECT_EQ(listener.subscribe({"plant/+/state", "plant/m-1/#", "#", "+/m-1/state", "elsewhere", "devices/m-1/errors"}),
            (std::vector{ReasonCode::kGrantedQos1, ReasonCode::kGrantedQos1, ReasonCode::kNotAuthorized,
                         ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized}));
  MqttClient device = client();
  ASSERT_EQ(device.connect({}).reason, ReasonCode::kSuccess);
  device.publish(1, "plant/m-2/state", "on");
  EXPECT_EQ(device.answer().reason, ReasonCode::kNotAuthorized) << "another device's";
  device.publish(2, "plant/m-1/state", "on", Qos::kAtLeastOnce, false, true);
  EXPECT_EQ(device.answer().reason, ReasonCode::kSuccess);
  const mqtt::Publish heard = listener.message();
  EXPECT_EQ(heard.topic, "plant/m-1/state");
  EXPECT_EQ(heard.payload, "on");
  MqttClient late = client(Version::k311);
  ASSERT_EQ(late.connect({.client_id = "late"}).reason, ReasonCode::kSuccess);
  EXPECT_EQ(late.subscribe({"plant/m-1/state"}), std::vector{ReasonCode::kGrantedQos1});
  const mqtt::Publish kept = late.message();
  EXPECT_EQ(kept.payload, "on");
  EXPECT_TRUE(kept.retain);
}

TEST_F(RightsTest, ADevicesOwnRulesGoBeforeThoseOfItsTenant) {
  Entry of_tenant = policy();
  add_rule(of_tenant, "plant/#", true, true);
  put(of_tenant);
  ASSERT_TRUE(may_subscribe("plant/#"));
  Entry own = grants();
  add_rule(own, "mine/{device}", true, true);
  put(own);
  ASSERT_TRUE(may_subscribe("mine/m-1"));
  MqttClient device = client();
  ASSERT_EQ(device.connect({}).reason, ReasonCode::kSuccess);
  EXPECT_EQ(device.subscribe({"plant/#", "mine/m-2"}),
            (std::vector{ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized}));
}

TEST_F(RightsTest, ASubscriptionThatIsNotAllowedAnyMoreEndsTheConnectionAndTheSession) {
  Entry entry = policy();
  add_rule(entry, "plant/#", true, true);
  put(entry);
  ASSERT_TRUE(may_subscribe("plant/#"));
  const MqttClient::Login login{.client_id = "lasting", .clean = false, .expiry_s = 600};
  MqttClient device = client();
  ASSERT_EQ(device.connect(login).reason, ReasonCode::kSuccess);
  ASSERT_EQ(device.subscribe({"plant/a"}), std::vector{ReasonCode::kGrantedQos1});
  MqttClient other = client();
  ASSERT_EQ(other.connect({.client_id = "other"}).reason, ReasonCode::kSuccess);
  put(policy());
  const MqttClient::Answer answer = device.answer();
  EXPECT_EQ(answer.type, PacketType::kDisconnect);
  EXPECT_EQ(answer.reason, ReasonCode::kAdministrativeAction);
  other.publish(1, "devices/m-1/telemetry", R"({"a":1})");
  EXPECT_EQ(other.answer().type, PacketType::kPuback) << "who listens to nothing of it goes on";
  MqttClient again = client();
  const auto connected = again.connect(login);
  EXPECT_EQ(connected.reason, ReasonCode::kSuccess);
  EXPECT_FALSE(connected.session_present) << "the client is told that its subscriptions are gone";
}

TEST_F(RightsTest, WillsGoToLocalTopicsAndForChildren) {
  Entry entry = grants();
  entry.mutable_credentials()->add_children("m-2");
  add_rule(entry, "plant/#", true, true);
  put(entry);
  ASSERT_TRUE(may_subscribe("plant/#"));
  MqttClient listener = client();
  ASSERT_EQ(listener.connect({.client_id = "listener"}).reason, ReasonCode::kSuccess);
  ASSERT_EQ(listener.subscribe({"plant/gone"}), std::vector{ReasonCode::kGrantedQos1});
  {
    MqttClient device = client();
    mqtt::Will will;
    will.topic = "plant/gone";
    will.payload = "m-1";
    ASSERT_EQ(device.connect({.client_id = "dying", .will = will}).reason, ReasonCode::kSuccess);
  }
  EXPECT_EQ(listener.message().payload, "m-1");
  {
    MqttClient device = client();
    mqtt::Will will;
    will.topic = "devices/m-2/status";
    will.payload = R"({"rightswill":0})";
    ASSERT_EQ(device.connect({.client_id = "dying", .will = will}).reason, ReasonCode::kSuccess);
  }
  ASSERT_TRUE(eventually([&] { return !stored_metric("status.rightswill").empty(); }));
  EXPECT_EQ(stored_metric("status.rightswill")[0].device, "m-2");
  MqttClient refused = client();
  mqtt::Will will;
  will.topic = "devices/m-3/status";
  will.payload = "{}";
  EXPECT_EQ(refused.connect({.client_id = "refused", .will = will}).reason, ReasonCode::kNotAuthorized);
}

TEST_F(RightsTest, ReceiptsComeToWhoAsksAndByPolicyToAll) {
  MqttClient device = client();
  ASSERT_EQ(device.connect({.receipts = false}).reason, ReasonCode::kSuccess);
  const auto receipt = [&](std::uint16_t id) {
    device.publish(id, "devices/m-1/telemetry", R"({"a":1})");
    return device.answer().receipt;
  };
  EXPECT_EQ(receipt(1), "");
  MqttClient asks = client();
  ASSERT_EQ(asks.connect({.client_id = "asks"}).reason, ReasonCode::kSuccess);
  asks.publish(1, "devices/m-1/telemetry", R"({"a":1})");
  EXPECT_NE(asks.answer().receipt, "");
  Entry entry = policy();
  entry.mutable_policy()->set_receipts(true);
  put(entry);
  std::uint16_t id = 1;
  EXPECT_TRUE(eventually([&] { return receipt(++id) != ""; })) << "also on a connection that is open";
}

}  // namespace
}  // namespace millrace::gateway
