// The verifier's eyes against real tables: rows as storage-writer writes them, read and accounted for.
#include "verify/store_reader.hpp"

#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>
#include <millrace/storage_schema/statements.hpp>
#include <millrace/storage_schema/value.hpp>

#include "readings/meter_readings.hpp"
#include "test_database.hpp"

namespace millrace::fleet {
namespace {

constexpr TimeUs kStart = 1'790'000'000'000'000;
constexpr std::int32_t kDeviceKey = 7;

/// A database of its own with the storage schema in it.
class StoreReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
    if (url == nullptr) {
      if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr) FAIL() << "MILLRACE_TEST_DATABASE_URL is not set";
      GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL is not set";
    }
    admin_ = testing::open_database(url);
    ASSERT_TRUE(admin_);
    database_ = "fleet_test_" + std::to_string(::getpid());
    ASSERT_TRUE(admin_->script("CREATE DATABASE " + database_));
    url_ = testing::with_database(url, database_);
    connection_ = testing::open_database(url_);
    ASSERT_TRUE(connection_);
    ASSERT_TRUE(postgres::migrate(*connection_, storage_schema::kSchema, storage_schema::migrations()));
    for (const char* metric : {"sequence", "voltage", "power", "foreign"}) {
      postgres::Params params;
      params.text(std::string_view("grid")).text(std::string_view(metric));
      const auto row =
          connection_->exec("INSERT INTO storage.metric (tenant, name, type) VALUES ($1, $2, 1) RETURNING id", params);
      ASSERT_TRUE(row);
      ids_.push_back(static_cast<std::int32_t>(row->integer(0, 0)));
    }
    ASSERT_TRUE(connection_->exec("INSERT INTO storage.metric (tenant, name, type) VALUES ('other', 'sequence', 2)"));
  }

  void TearDown() override {
    connection_.reset();
    if (admin_ && !database_.empty()) {
      EXPECT_TRUE(admin_->script("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)"));
    }
  }

  void add(postgres::CopyEncoder& rows, std::size_t metric, TimeUs time, const telemetry::Value& value,
           bool untimed) const {
    storage_schema::encode_sample(rows, time, kDeviceKey, ids_[metric], storage_schema::cell_of(value), untimed);
  }

  std::string database_;
  std::string url_;
  std::vector<std::int32_t> ids_;
  std::unique_ptr<postgres::Connection> admin_;
  std::unique_ptr<postgres::Connection> connection_;
};

TEST_F(StoreReaderTest, WhatTheWriterStoresIsCleanAndAMissingOrSecondRowIsNot) {
  const MeterReadings readings({.seed = 5, .untimed_share = 0.5}, 2);
  std::vector<LedgerEntry> ledger;
  postgres::CopyEncoder rows;
  for (std::uint32_t index = 1; index <= 400; ++index) {
    const Message message = *readings.make(0, index, kStart + index * 1000, 0);
    LedgerEntry entry;
    entry.time_us = message.time_us;
    entry.timed = message.timed;
    entry.fate = Fate::kAcknowledged;
    ledger.push_back(entry);
    const TimeUs stamp = message.timed ? message.time_us : message.time_us + 300;
    add(rows, 0, stamp, telemetry::Value{std::int64_t{index}}, !message.timed);
    for (std::size_t metric = 0; metric < 2; ++metric) {
      const TimeUs time = message.timed ? stamp : stamp + static_cast<TimeUs>(metric) + 1;
      add(rows, metric + 1, time, telemetry::Value{*readings.expected(0, message, metric)}, !message.timed);
    }
  }
  add(rows, 3, kStart, telemetry::Value{1.0}, false);
  add(rows, 0, kStart - 3'600'000'000, telemetry::Value{std::int64_t{3}}, true);  // an earlier run
  rows.finish();
  const auto stored = connection_->copy_in(storage_schema::sql::kCopySamples, rows.bytes());
  ASSERT_TRUE(stored) << stored.error().message;
  ASSERT_EQ(*stored, 1202);

  StoreReader reader(url_, "grid", readings);
  const auto judge = [&] {
    const std::int32_t keys[] = {kDeviceKey};
    const auto points = reader.read(keys, kStart, kStart);
    EXPECT_TRUE(points.ok());
    return account(0, "meter", readings, ledger, points->at(0));
  };
  Tally tally = judge();
  EXPECT_TRUE(tally.clean()) << tally.examples.at(0);
  EXPECT_EQ(tally.stored, 400U);

  // Somebody loses one message and stores another twice.
  ASSERT_TRUE(connection_->exec("DELETE FROM storage.sample WHERE metric = $1::int4 AND value = 17",
                                postgres::Params().integer(ids_[0])));
  ASSERT_TRUE(
      connection_->exec("INSERT INTO storage.sample SELECT time + interval '1 second', device_id, metric, value, "
                        "kind, other, true FROM storage.sample WHERE metric = $1::int4 AND value = 18",
                        postgres::Params().integer(ids_[0])));
  tally = judge();
  EXPECT_EQ(tally.lost, 1U);
  EXPECT_EQ(tally.doubled, 1U);
}

TEST_F(StoreReaderTest, RowsOfManyDevicesComeInTheOrderAsked) {
  const MeterReadings readings({}, 2);
  postgres::CopyEncoder rows;
  for (std::int32_t device = 1; device <= 300; ++device) {
    storage_schema::encode_sample(rows, kStart + device, device, ids_[0],
                                  storage_schema::cell_of(telemetry::Value{std::int64_t{device}}), false);
  }
  rows.finish();
  ASSERT_TRUE(connection_->copy_in(storage_schema::sql::kCopySamples, rows.bytes()));
  std::vector<std::int32_t> keys;
  for (std::int32_t device = 300; device >= 1; device -= 2) keys.push_back(device);
  keys.push_back(999);  // has none
  StoreReader reader(url_, "grid", readings);
  const auto points = reader.read(keys, kStart, kStart);
  ASSERT_TRUE(points.ok());
  ASSERT_EQ(points->size(), keys.size());
  for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
    ASSERT_EQ(points->at(i).size(), 1U);
    EXPECT_EQ(points->at(i)[0].value, keys[i]);
    EXPECT_EQ(points->at(i)[0].metric, StoredPoint::kSequence);
  }
  EXPECT_TRUE(points->back().empty());
}

TEST_F(StoreReaderTest, AnUnknownDeviceHasNoRowsAndADeadDatabaseIsAnError) {
  const MeterReadings readings({}, 2);
  StoreReader reader(url_, "grid", readings);
  const std::int32_t keys[] = {12345};
  const auto points = reader.read(keys, 0, 0);
  ASSERT_TRUE(points.ok());
  ASSERT_EQ(points->size(), 1U);
  EXPECT_TRUE(points->at(0).empty());
  StoreReader nowhere("postgresql://127.0.0.1:1/none?connect_timeout=2", "grid", readings);
  EXPECT_EQ(nowhere.read(keys, 0, 0).error().kind, ErrorKind::kUnavailable);
}

}  // namespace
}  // namespace millrace::fleet
