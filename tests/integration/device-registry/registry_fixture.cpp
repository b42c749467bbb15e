#include "registry_fixture.hpp"

#include <algorithm>
#include <cstdlib>

#include <unistd.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/postgres/migrations.hpp>
#include <millrace/rpc/status.hpp>

#include "eventually.hpp"
#include "schema/migrations.hpp"
#include "store/tenants.hpp"
#include "test_database.hpp"

namespace millrace::registry {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kTimeout{60'000};

}  // namespace

void Registry::SetUp() {
  const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
  const char* kafka = std::getenv("MILLRACE_TEST_KAFKA");
  if (url == nullptr || kafka == nullptr) {
    if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr)
      FAIL() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
    GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
  }
  const std::string unique = std::to_string(::getpid()) + "_" + to_hex(random_bytes(4));
  kafka_.bootstrap = kafka;
  topics_.prefix = "registry_test_" + unique + ".";
  database_name_ = "registry_test_" + unique;
  kafka::Admin admin(kafka_);
  const auto wanted = kafka::wanted_topics(topics_, {.telemetry_partitions = 1, .replication = 1});
  const auto created = admin.create_missing(wanted, kTimeout);
  ASSERT_TRUE(created.ok()) << created.error().message;
  make_database(url);
  if (HasFatalFailure()) return;
  make_keys();
  if (HasFatalFailure()) return;
  start_service();
}

void Registry::make_database(const std::string& url) {
  servers_ = testing::open_database(url);
  ASSERT_TRUE(servers_);
  ASSERT_TRUE(servers_->script("CREATE DATABASE " + database_name_));
  database_url_ = testing::with_database(url, database_name_);
  database_ = testing::open_database(database_url_);
  ASSERT_TRUE(database_);
  ASSERT_TRUE(postgres::migrate(*database_, kSchema, migrations()));
}

void Registry::make_keys() {
  const auto key = [&](const std::string& tenant, v1::Role role) {
    auto made = create_api_key(*database_, tenant, role, "test", 0);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return made.ok() ? made->key() : std::string();
  };
  ASSERT_TRUE(create_tenant(*database_, "acme").ok());
  ASSERT_TRUE(create_tenant(*database_, "other").ok());
  admin_ = key("acme", v1::ROLE_ADMIN);
  operator_ = key("acme", v1::ROLE_OPERATOR);
  viewer_ = key("acme", v1::ROLE_VIEWER);
  other_ = key("other", v1::ROLE_ADMIN);
  platform_ = key("", v1::ROLE_ADMIN);
}

void Registry::start_service() {
  Config config;
  config.grpc = config.ops = Address{"127.0.0.1", 0};
  config.kafka = kafka_;
  config.topic_prefix = topics_.prefix;
  config.database_url = database_url_;
  config.database_connections = 4;
  config.calls_waiting = 64;
  app_ = std::make_unique<DeviceRegistryApp>(config);
  ASSERT_TRUE(app_->start().ok());
  ASSERT_TRUE(testing::eventually([&] { return app_->ready(); }));
  stub_ = Service::NewStub(grpc::CreateChannel(app_->grpc_address().to_string(), grpc::InsecureChannelCredentials()));
}

void Registry::restart() {
  stub_.reset();
  app_.reset();
  start_service();
}

void Registry::TearDown() {
  stub_.reset();
  app_.reset();
  database_.reset();
  if (!servers_) return;
  EXPECT_TRUE(servers_->script("DROP DATABASE IF EXISTS " + database_name_ + " WITH (FORCE)"));
  std::vector<std::string> names;
  for (const auto& topic : kafka::wanted_topics(topics_, {.telemetry_partitions = 1, .replication = 1}))
    names.push_back(topic.name);
  EXPECT_TRUE(kafka::Admin(kafka_).delete_topics(names, kTimeout));
}

std::string Registry::make_device(const std::string& device) {
  v1::CreateDeviceRequest request;
  request.set_device(device);
  v1::CreateDeviceResponse response;
  const auto status = call(&Stub::CreateDevice, request, response, operator_);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.token();
}

void Registry::delete_device(const std::string& device) {
  v1::DeleteDeviceRequest request;
  request.set_device(device);
  EXPECT_EQ(said(&Stub::DeleteDevice, request, operator_), "OK");
}

std::string Registry::text_of(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const auto code = static_cast<rpc::Code>(status.error_code());
  return std::string(rpc::to_string(code)) + ": " + status.error_message();
}

v1::Entry Registry::published(const std::string& key) {
  EXPECT_TRUE(testing::eventually([&] {
    const auto rows = database_->exec("SELECT 1 FROM registry.outbox LIMIT 1");
    return rows.ok() && rows->empty();
  })) << "the outbox is not relayed";
  v1::Entry newest;
  for (const auto& record : log_of(topics_.registry())) {
    if (record.key != key) continue;
    newest.Clear();
    EXPECT_TRUE(newest.ParseFromString(record.value)) << key;
  }
  return newest;
}

std::vector<testing::LogEntry> Registry::log_of(const std::string& topic) {
  return testing::read_log(kafka_, topic, 1);
}

bool Registry::wait_for(const std::string& topic, const std::string& key,
                        const std::function<bool(const std::string&)>& holds) {
  return testing::eventually([&] {
    const auto entries = log_of(topic);
    const auto newest =
        std::find_if(entries.rbegin(), entries.rend(), [&](const testing::LogEntry& one) { return one.key == key; });
    return newest != entries.rend() && holds(newest->value);
  });
}

void Registry::sql(const std::string& text) {
  const Status done = database_->script(text);
  ASSERT_TRUE(done.ok()) << done.error().message;
}

}  // namespace millrace::registry
