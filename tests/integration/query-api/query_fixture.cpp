#include "query_fixture.hpp"

#include <unistd.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/storage_schema/schema.hpp>
#include <millrace/storage_schema/statements.hpp>

#include "eventually.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "test_database.hpp"

namespace millrace::query_api {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kTimeout{60'000};

std::string key_entry(const std::string& id, const std::string& tenant, const std::string& text,
                      registry::v1::Role role) {
  registry::v1::Entry entry;
  auto* key = entry.mutable_api_key();
  key->set_key_id(id);
  key->set_tenant(tenant);
  key->set_role(role);
  key->set_sha256(std::string(bytes_of(sha256(text))));
  key->set_enabled(true);
  return entry.SerializeAsString();
}

std::string device_entry(const std::string& tenant, const std::string& device, std::int32_t key) {
  registry::v1::Entry entry;
  entry.mutable_device()->set_tenant(tenant);
  entry.mutable_device()->set_device(device);
  entry.mutable_device()->set_device_key(key);
  entry.mutable_device()->set_enabled(true);
  return entry.SerializeAsString();
}

std::string tenant_entry(const std::string& tenant, std::int32_t key) {
  registry::v1::Entry entry;
  entry.mutable_tenant()->set_tenant(tenant);
  entry.mutable_tenant()->set_tenant_key(key);
  entry.mutable_tenant()->set_enabled(true);
  return entry.SerializeAsString();
}

}  // namespace

void QueryApi::SetUp() {
  const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
  const char* kafka = std::getenv("MILLRACE_TEST_KAFKA");
  if (url == nullptr || kafka == nullptr) {
    if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr)
      FAIL() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
    GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
  }
  const std::string unique = std::to_string(::getpid()) + "_" + to_hex(random_bytes(4));
  kafka_.bootstrap = kafka;
  topics_.prefix = "query_test_" + unique + ".";
  database_name_ = "query_test_" + unique;
  make_database(url);
  make_topics();
  put_registry();
}

void QueryApi::make_database(const std::string& url) {
  admin_ = testing::open_database(url);
  ASSERT_TRUE(admin_);
  ASSERT_TRUE(admin_->script("CREATE DATABASE " + database_name_));
  database_url_ = testing::with_database(url, database_name_);
  database_ = testing::open_database(database_url_);
  ASSERT_TRUE(database_);
  ASSERT_TRUE(postgres::migrate(*database_, storage_schema::kSchema, storage_schema::migrations()));
}

void QueryApi::make_topics() {
  kafka::Admin admin(kafka_);
  const auto wanted = kafka::wanted_topics(topics_, {.telemetry_partitions = 3, .replication = 1});
  const auto created = admin.create_missing(wanted, kTimeout);
  ASSERT_TRUE(created.ok()) << created.error().message;
  producer_ = std::make_unique<kafka::SyncProducer>(kafka_, kTimeout);
}

void QueryApi::put_registry() {
  using registry::v1::ROLE_ADMIN;
  using registry::v1::ROLE_VIEWER;
  std::vector<kafka::OutgoingRecord> records;
  const auto put = [&](const std::string& key, const std::string& value) {
    records.push_back({.topic = topics_.registry(), .partition = 0, .key = key, .value = value});
  };
  put("tenant/acme", tenant_entry("acme", 1));
  put("tenant/other", tenant_entry("other", 2));
  put("device/acme/meter-1", device_entry("acme", "meter-1", kMeter));
  put("device/other/meter-1", device_entry("other", "meter-1", kForeigner));
  put("key/acme1", key_entry("acme1", "acme", kAcmeKey, ROLE_VIEWER));
  put("key/other1", key_entry("other1", "other", kOtherKey, ROLE_VIEWER));
  put("key/plat1", key_entry("plat1", "", kPlatformKey, ROLE_ADMIN));
  ASSERT_TRUE(producer_->send(records).ok());
}

void QueryApi::put_device(const std::string& tenant, const std::string& device, std::int32_t key) {
  const auto sent = producer_->send_one({.topic = topics_.registry(),
                                         .partition = 0,
                                         .key = "device/" + tenant + '/' + device,
                                         .value = device_entry(tenant, device, key)});
  ASSERT_TRUE(sent.ok());
}

void QueryApi::put_presence(const devices::v1::Presence& record) {
  const auto sent = producer_->send_one({.topic = topics_.presence(),
                                         .key = record_key(record.tenant(), record.device()),
                                         .value = record.SerializeAsString()});
  ASSERT_TRUE(sent.ok());
}

void QueryApi::start_service() {
  Config config;
  config.grpc = config.http = config.ops = Address{"127.0.0.1", 0};
  config.kafka = kafka_;
  config.topic_prefix = topics_.prefix;
  config.database_url = database_url_;
  config.database_connections = 2;
  config.calls_waiting = 64;
  config.tenant_calls_waiting = 4;
  config.exports = 4;
  config.http_body_bytes = 10'000;
  config.cors_origins = {"https://board.example"};
  config.call_deadline = config.call_deadline_limit = call_deadline_;
  config.log_readers = 1;
  config.archive = archive_;
  config.archive_readers = 2;
  config.tails = 4;
  config.tail_queue_readings = 1'000;
  app_ = std::make_unique<QueryApiApp>(config);
  ASSERT_TRUE(app_->start().ok());
  ASSERT_TRUE(testing::eventually([&] { return app_->ready(); }));
  stub_ = query::v1::QueryService::NewStub(
      grpc::CreateChannel(app_->grpc_address().to_string(), grpc::InsecureChannelCredentials()));
}

void QueryApi::TearDown() {
  stub_.reset();
  app_.reset();
  database_.reset();
  producer_.reset();
  if (admin_) {
    EXPECT_TRUE(admin_->script("DROP DATABASE IF EXISTS " + database_name_ + " WITH (FORCE)"));
    kafka::Admin admin(kafka_);
    const std::vector<std::string> names{topics_.telemetry(), topics_.telemetry_dead(), topics_.registry()};
    EXPECT_TRUE(admin.delete_topics(names, kTimeout));
  }
}

std::int32_t QueryApi::metric(const std::string& tenant, const std::string& name, storage_schema::MetricType type) {
  postgres::Params params;
  params.text(std::string_view(tenant)).text(std::string_view(name)).integer(static_cast<std::int64_t>(type));
  const auto row =
      database_->exec("INSERT INTO storage.metric (tenant, name, type) VALUES ($1, $2, $3::int2) RETURNING id", params);
  EXPECT_TRUE(row.ok());
  return row.ok() ? static_cast<std::int32_t>(row->integer(0, 0)) : 0;
}

void QueryApi::insert_sample(std::int32_t device, std::int32_t metric_id, TimeUs time, const telemetry::Value& value) {
  postgres::CopyEncoder encoder;
  storage_schema::encode_sample(encoder, time, device, metric_id, storage_schema::cell_of(value), false);
  encoder.finish();
  const auto copied = database_->copy_in(storage_schema::sql::kCopySamples, encoder.bytes());
  ASSERT_TRUE(copied.ok()) << copied.error().message;
}

void QueryApi::sql(const std::string& text) {
  const Status done = database_->script(text);
  ASSERT_TRUE(done.ok()) << done.error().message;
}

void QueryApi::set_position(int partition, std::int64_t next_offset, std::int64_t latest_offset, TimeUs log_time) {
  sql("INSERT INTO storage.ingest_offset (topic, part, next_offset, latest_offset, cluster_id, log_time_us) VALUES ('" +
      topics_.telemetry() + "', " + std::to_string(partition) + ", " + std::to_string(next_offset) + ", " +
      std::to_string(latest_offset) + ", 'test', " + std::to_string(log_time) +
      ") ON CONFLICT (topic, part) DO UPDATE SET next_offset = excluded.next_offset, latest_offset = "
      "excluded.latest_offset, log_time_us = excluded.log_time_us");
}

kafka::RecordCoordinate QueryApi::produce(const std::string& tenant, int points, std::int64_t first_value) {
  telemetry::Batch batch;
  batch.ingest_id.counter = ++counter_;
  batch.ingest_time = kStart;
  batch.tenant = tenant;
  batch.device = "meter-1";
  batch.device_key = tenant == "acme" ? kMeter : kForeigner;
  batch.protocol = telemetry::Protocol::kHttp;
  for (int i = 0; i < points; ++i) batch.points.push_back({"power", telemetry::Value{first_value + i}, {}});
  std::string bytes;
  telemetry::BatchCodec().encode(batch, bytes);
  const auto sent = producer_->send_one(
      {.topic = topics_.telemetry(), .partition = 0, .key = record_key(tenant, "meter-1"), .value = bytes});
  EXPECT_TRUE(sent.ok());
  return sent.ok() ? sent.value() : kafka::RecordCoordinate{};
}

kafka::RecordCoordinate QueryApi::produce_dead(const std::string& tenant, const std::string& payload,
                                               std::vector<kafka::Header> headers) {
  const auto sent = producer_->send_one({.topic = topics_.telemetry_dead(),
                                         .key = record_key(tenant, "meter-1"),
                                         .value = payload,
                                         .headers = std::move(headers)});
  EXPECT_TRUE(sent.ok());
  return sent.ok() ? sent.value() : kafka::RecordCoordinate{};
}

std::unique_ptr<grpc::ClientContext> QueryApi::context(const std::string& key, std::chrono::seconds deadline) {
  auto made = std::make_unique<grpc::ClientContext>();
  made->AddMetadata("authorization", "Bearer " + key);
  made->set_deadline(std::chrono::system_clock::now() + deadline);
  return made;
}

query::v1::RangeRequest QueryApi::range(const std::string& metric_name, TimeUs from, TimeUs to) const {
  query::v1::RangeRequest request;
  request.set_device("meter-1");
  request.set_metric(metric_name);
  request.set_from_us(from);
  request.set_to_us(to);
  return request;
}

query::v1::GetReceiptResponse QueryApi::receipt(const std::string& text, const std::string& key) {
  query::v1::GetReceiptRequest request;
  request.set_receipt(text);
  query::v1::GetReceiptResponse response;
  const grpc::Status status = stub_->GetReceipt(context(key).get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

}  // namespace millrace::query_api
