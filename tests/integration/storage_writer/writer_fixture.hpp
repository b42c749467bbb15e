#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>

#include "eventually.hpp"
#include "storage_writer_app.hpp"
#include "test_database.hpp"

namespace millrace::writer {

using std::chrono::seconds;

/// The whole writer with a database and topics of its own.
class WriterTest : public ::testing::Test {
 protected:
  static constexpr int kPartitions = 2;

  void SetUp() override {
    const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
    const char* kafka = std::getenv("MILLRACE_TEST_KAFKA");
    if (url == nullptr || kafka == nullptr) {
      if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr)
        FAIL() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
      GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL or MILLRACE_TEST_KAFKA is not set";
    }
    static int count = 0;
    const std::string name = "writer_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
    admin_ = testing::open_database(url);
    ASSERT_TRUE(admin_->script("CREATE DATABASE " + name));
    database_ = name;
    config_.database.url = testing::with_database(url, name);
    config_.kafka.bootstrap = kafka;
    config_.topics.prefix = name + ".";
    config_.group = name;
    config_.database.application_name = "storage-writer";
    config_.database.call_timeout = seconds{5};
    config_.ops = Address{"127.0.0.1", 0};
    session_ = testing::open_database(config_.database.url);
    ASSERT_TRUE(postgres::migrate(*session_, storage_schema::kSchema, storage_schema::migrations()));
    kafka::Admin topics(config_.kafka);
    const auto made = topics.create_missing(kafka::wanted_topics(config_.topics, {kPartitions, 1}), seconds{60});
    ASSERT_TRUE(made.ok()) << made.error().message;
    producer_ = std::make_unique<kafka::SyncProducer>(config_.kafka, seconds{60});
    start_.fill(7);
  }

  void TearDown() override {
    app_.reset();
    session_.reset();
    if (admin_ && !database_.empty()) {
      EXPECT_TRUE(admin_->script("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)"));
    }
  }

  void run_writer() {
    app_ = std::make_unique<StorageWriterApp>(config_);
    const auto started = app_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }

  telemetry::Batch message(std::int32_t device, std::optional<TimeUs> time, double value) {
    telemetry::Batch batch;
    batch.ingest_id = {start_, ++counter_};
    batch.ingest_time = now_us();
    batch.tenant = "t";
    batch.device = "d" + std::to_string(device);
    batch.device_key = device;
    batch.protocol = telemetry::Protocol::kMqtt5;
    batch.qos = 1;
    batch.event_time = time;
    batch.points.push_back({"m", value, std::nullopt});
    return batch;
  }

  kafka::OutgoingRecord record(const telemetry::Batch& batch) {
    kafka::OutgoingRecord out;
    out.topic = config_.topics.telemetry();
    out.partition = batch.device_key % kPartitions;
    out.key = record_key(batch.tenant, batch.device);
    std::string bytes;
    codec_.encode(batch, bytes);
    out.value = bytes;
    return out;
  }

  void send(const telemetry::Batch& batch) { send(std::vector{record(batch)}); }
  void send(const std::vector<kafka::OutgoingRecord>& records) {
    const auto sent = producer_->send(records);
    ASSERT_TRUE(sent.ok()) << sent.error().message;
    sent_ += static_cast<std::int64_t>(records.size());
  }

  std::int64_t ask(const std::string& sql) {
    auto rows = session_->exec(sql);
    if (!rows) {
      ADD_FAILURE() << sql << ": " << rows.error().message;
      return -1;
    }
    return rows->integer(0, 0);
  }
  std::int64_t rows() { return ask("SELECT count(*) FROM storage.sample"); }
  [[nodiscard]] std::string of_telemetry() const { return " AND topic = '" + config_.topics.telemetry() + "'"; }
  std::int64_t accounted() {
    return ask("SELECT coalesce(sum(next_offset), 0)::int8 FROM storage.ingest_offset WHERE true" + of_telemetry());
  }
  [[nodiscard]] bool all_accounted() {
    return testing::eventually([this] { return accounted() == sent_; });
  }
  void expect_no_key_twice() {
    EXPECT_EQ(ask("SELECT count(*) FROM (SELECT 1 FROM storage.sample GROUP BY device_id, metric, time HAVING count(*) "
                  "> 1) x"),
              0);
  }

  Config config_;
  std::string database_;
  std::unique_ptr<postgres::Connection> admin_;
  std::unique_ptr<postgres::Connection> session_;
  std::unique_ptr<kafka::SyncProducer> producer_;
  std::unique_ptr<StorageWriterApp> app_;
  telemetry::BatchCodec codec_;
  telemetry::StartId start_;
  std::uint64_t counter_ = 0;
  std::int64_t sent_ = 0;
};

}  // namespace millrace::writer
