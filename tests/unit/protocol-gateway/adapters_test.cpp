#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>

#include "http/credentials.hpp"
#include "http/metric_path.hpp"
#include "http/waiting_room.hpp"
#include "mqtt/topic.hpp"

namespace millrace::gateway {
namespace {

TEST(WaitingRoom, IsFullWhenItIsAndEmptiesWithItsPlaces) {
  auto room = std::make_unique<WaitingRoom>(100);
  auto first = room->take(60);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(room->take(41), nullptr);
  const auto second = room->take(40);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(room->take(1), nullptr);
  first.reset();
  EXPECT_NE(room->take(60), nullptr);
  EXPECT_EQ(room->take(101), nullptr);
  EXPECT_EQ(room->take(~std::size_t{0}), nullptr);
  room.reset();  // a place may outlive it
}

TEST(MetricPath, PercentEncodingIsUndone) {
  EXPECT_EQ(metric_of_path("pump/2").value(), "pump/2");
  EXPECT_EQ(metric_of_path("%74emp%C3%BC%2f2").value(), "temp\u00fc/2");
  for (const char* path : {"", "a%", "a%4", "a%4g", "a%+1"}) EXPECT_FALSE(metric_of_path(path).ok()) << path;
}

TEST(TelemetryPath, NamesPerhapsADeviceAndAMetric) {
  EXPECT_EQ(parse_telemetry_path("/v1/telemetry")->device, "");
  EXPECT_EQ(parse_telemetry_path("/v1/telemetry")->metric, std::nullopt);
  EXPECT_EQ(parse_telemetry_path("/v1/telemetry/a/b")->metric, "a/b");
  EXPECT_EQ(parse_telemetry_path("/v1/devices/m-1/telemetry")->device, "m-1");
  EXPECT_EQ(parse_telemetry_path("/v1/devices/m-1/telemetry/rpm")->metric, "rpm");
  EXPECT_EQ(parse_telemetry_path("/v1/telemetry/")->metric, "");
  for (const char* path : {"/", "/v1", "/v1/telemetryx", "/v1/devices", "/v1/devices/telemetry",
                           "/v1/devices//telemetry", "/v1/devices/m-1", "/v1/devices/m-1/other", "/v2/telemetry"})
    EXPECT_FALSE(parse_telemetry_path(path).has_value()) << path;
}

TEST(IngestTopics, NameTheDeviceAndThePrefix) {
  const auto telemetry = parse_ingest_topic("devices/m-1/telemetry");
  ASSERT_TRUE(telemetry.has_value());
  EXPECT_EQ(telemetry->device, "m-1");
  EXPECT_EQ(telemetry->metric_prefix, "");
  const auto status = parse_ingest_topic("devices/m-1/status");
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->metric_prefix, "status.");
}

TEST(IngestTopics, EverythingElseIsNone) {
  for (const char* topic :
       {"", "devices", "devices/", "devices//telemetry", "devices/m-1", "devices/m-1/", "devices/m-1/commands",
        "devices/m-1/telemetry/", "devices/m-1/telemetry.x", "/devices/m-1/telemetry", "Devices/m-1/telemetry"}) {
    EXPECT_FALSE(parse_ingest_topic(topic).has_value()) << topic;
  }
}

TEST(Credentials, ADeviceIsNamedWithItsTenant) {
  const auto name = parse_device_name("m-1@acme");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->device, "m-1");
  EXPECT_EQ(name->tenant, "acme");
  for (const char* user : {"", "m-1", "@acme", "m-1@", "m-1@ac me", ".m@acme"})
    EXPECT_FALSE(parse_device_name(user).ok()) << user;
}

bool nobody(std::string_view /*tenant*/, std::string_view /*device*/) { return false; }

TEST(Credentials, BasicAndBearerGiveTheSecret) {
  const auto basic = parse_authorization("Basic " + to_base64("m:1@acme:mt_secret"), nobody);
  ASSERT_TRUE(basic.ok());
  EXPECT_EQ(basic->user, "m:1@acme");
  EXPECT_EQ(basic->secret, "mt_secret");
  const auto bearer = parse_authorization("bearer mt_secret", nobody);
  ASSERT_TRUE(bearer.ok());
  EXPECT_EQ(bearer->user, "");
  EXPECT_EQ(bearer->secret, "mt_secret");
}

TEST(Credentials, APasswordMayHoldColonsBehindADeviceThatIsKnown) {
  const auto only_m1 = [](std::string_view tenant, std::string_view device) {
    return tenant == "acme" && device == "m:1";
  };
  const auto basic = parse_authorization("Basic " + to_base64("m:1@acme:pass@word:with:colons"), only_m1);
  ASSERT_TRUE(basic.ok());
  EXPECT_EQ(basic->user, "m:1@acme");
  EXPECT_EQ(basic->secret, "pass@word:with:colons");
}

TEST(Credentials, AnythingElseIsUnauthenticated) {
  for (const std::string& header :
       {std::string(), std::string("Basic"), std::string("Basic !!!"), std::string("Digest x"),
        "Basic " + to_base64("no colon"), "Basic " + to_base64("m-1@acme:"), std::string("Bearer ")}) {
    const auto parsed = parse_authorization(header, nobody);
    ASSERT_FALSE(parsed.ok()) << header;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kUnauthenticated);
  }
}

}  // namespace
}  // namespace millrace::gateway
