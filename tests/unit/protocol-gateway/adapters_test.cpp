#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "http/credentials.hpp"
#include "http/metric_path.hpp"
#include "ingest/epoch.hpp"
#include "mqtt/topic.hpp"

namespace millrace::gateway {
namespace {

TEST(MetricPath, PercentEncodingIsUndone) {
  EXPECT_EQ(metric_of_path("pump/2").value(), "pump/2");
  EXPECT_EQ(metric_of_path("%74emp%C3%BC%2f2").value(), "temp\u00fc/2");
  for (const char* path : {"", "a%", "a%4", "a%4g", "a%+1"}) EXPECT_FALSE(metric_of_path(path).ok()) << path;
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

TEST(Credentials, BasicAndBearerGiveTheTokensDigest) {
  const auto basic = parse_authorization("Basic " + to_base64("m:1@acme:mt_secret"));
  ASSERT_TRUE(basic.ok());
  EXPECT_EQ(basic->user, "m:1@acme");
  EXPECT_EQ(basic->token, sha256("mt_secret"));
  const auto bearer = parse_authorization("bearer mt_secret");
  ASSERT_TRUE(bearer.ok());
  EXPECT_EQ(bearer->user, "");
  EXPECT_EQ(bearer->token, sha256("mt_secret"));
}

TEST(Credentials, AnythingElseIsUnauthenticated) {
  for (const std::string& header :
       {std::string(), std::string("Basic"), std::string("Basic !!!"), std::string("Digest x"),
        "Basic " + to_base64("no colon"), std::string("Bearer ")}) {
    const auto parsed = parse_authorization(header);
    ASSERT_FALSE(parsed.ok()) << header;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kUnauthenticated);
  }
}

class EpochsTest : public ::testing::Test {
 protected:
  EpochsTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-epoch-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~EpochsTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(EpochsTest, GrowWithEveryConnectionAndOverRestarts) {
  std::uint64_t last = 0;
  for (int start = 0; start < 3; ++start) {
    auto epochs = Epochs::open(folder_);
    ASSERT_TRUE(epochs.ok()) << epochs.error().message;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t epoch = (*epochs)->next();
      EXPECT_GT(epoch, last);
      last = epoch;
    }
  }
}

TEST_F(EpochsTest, ASecondGatewayIsKeptOut) {
  auto first = Epochs::open(folder_);
  ASSERT_TRUE(first.ok());
  auto second = Epochs::open(folder_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind, ErrorKind::kUnavailable);
}

TEST_F(EpochsTest, ACountThatIsNoNumberStopsTheStart) {
  std::ofstream(folder_ + "/starts") << "what?";
  auto epochs = Epochs::open(folder_);
  ASSERT_FALSE(epochs.ok());
  EXPECT_EQ(epochs.error().kind, ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace millrace::gateway
