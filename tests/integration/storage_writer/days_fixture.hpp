#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>

#include "eventually.hpp"
#include "store/store.hpp"
#include "test_database.hpp"
#include "tiers/day_keeper.hpp"

namespace millrace::writer {

/// A database of its own with the schema; no Kafka. The days under test are long past.
class DaysTest : public ::testing::Test {
 protected:
  static constexpr TimeUs kDay = 86'400 * kUsPerSecond;
  static constexpr TimeUs kFirst = 20'000 * kDay;  // 2024-10-04, UTC

  void SetUp() override {
    const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
    if (url == nullptr) {
      if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr) FAIL() << "MILLRACE_TEST_DATABASE_URL is not set";
      GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL is not set";
    }
    static int count = 0;
    const std::string name = "days_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
    admin_ = testing::open_database(url);
    ASSERT_TRUE(admin_->script("CREATE DATABASE " + name));
    database_ = name;
    options_.url = testing::with_database(url, name);
    options_.call_timeout = std::chrono::minutes{5};
    options_.connect_timeout = std::chrono::minutes{1};
    options_.statement_timeout = std::chrono::minutes{5};
    session_ = testing::open_database(options_.url);
    const auto migrated = postgres::migrate(*session_, storage_schema::kSchema, storage_schema::migrations());
    ASSERT_TRUE(migrated.ok()) << migrated.error().message;
    limits_.hot = std::chrono::hours{0};
    limits_.quiet = std::chrono::seconds{0};
    limits_.rows_at_once = 300;
    limits_.series_at_once = 2;
  }

  void TearDown() override {
    session_.reset();
    if (admin_ && !database_.empty()) {
      EXPECT_TRUE(admin_->script("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)"));
    }
  }

  void script(const std::string& sql) {
    const auto done = session_->script(sql);
    ASSERT_TRUE(done.ok()) << sql << ": " << done.error().message;
  }

  std::int64_t ask(const std::string& sql) {
    auto rows = session_->exec(sql);
    if (!rows) {
      ADD_FAILURE() << sql << ": " << rows.error().message;
      return -1;
    }
    return rows->is_null(0, 0) ? -2 : rows->integer(0, 0);
  }

  /// A session that may be idle in a transaction.
  std::unique_ptr<postgres::Connection> patient_session() {
    postgres::ConnectOptions options = options_;
    options.idle_in_transaction_timeout = std::chrono::minutes{10};
    auto connection = postgres::Connection::open(options);
    EXPECT_TRUE(connection.ok()) << connection.error().message;
    return std::move(*connection);
  }

  /// One pass on a connection of its own, when what a killed keeper left running has ended.
  DayWork pass(DayKeeper::OnStep on_step = {}) {
    const auto connection = patient_session();
    DayKeeper keeper(*connection, limits_, [] { return false; }, std::move(on_step));
    Result<DayWork> work = DayWork{};
    EXPECT_TRUE(testing::eventually([&] {
      work = keeper.pass(now_us());
      return !work || !work->elsewhere;
    }));
    if (!work) {
      ADD_FAILURE() << work.error().message;
      return {};
    }
    return *work;
  }

  /// Rows of `days` days from kFirst on: three devices with four metrics each, one of them of all kinds.
  void insert_days(int days) {
    script("SELECT storage.ensure_days((SELECT array_agg(date '2024-10-04' + i) FROM generate_series(0, " +
           std::to_string(days - 1) + ") i)); SELECT setseed(0.5);" +
           "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 00:00+00' + i * interval '7 minutes' + CASE m "
           "WHEN 1 "
           "THEN interval '0' ELSE floor(random() * 1000) * interval '1 millisecond' END, d, m,"
           " CASE WHEN m < 4 OR i % 3 = 0 THEN round((random() * 100)::numeric, m)::float8 END,"
           " CASE WHEN m = 4 AND i % 3 > 0 THEN 1 + i % 4 END,"
           " CASE WHEN m = 4 AND i % 3 > 0 THEN (ARRAY['9007199254740993', 'true', 'a text', '{\"a\": 1}'])[1 + i % 4] "
           "END,"
           " CASE WHEN m = 2 AND i % 2 = 0 THEN true END"
           " FROM generate_series(1, 3) d, generate_series(1, 4) m, generate_series(0, " +
           std::to_string(days * 205 - 1) + ") i");
  }

  /// Everything that can be read, as one number: what the tiers do must not change it.
  std::int64_t fingerprint() {
    return ask(
        "SELECT sum(hashtextextended((time, device_id, metric, value, kind, other, coalesce(untimed, false))::text, 0)"
        "::numeric % 1000000007)::int8 + count(*) * 1000000000 FROM storage.point");
  }

  std::string database_;
  postgres::ConnectOptions options_;
  DayLimits limits_;
  std::unique_ptr<postgres::Connection> admin_;
  std::unique_ptr<postgres::Connection> session_;
};

}  // namespace millrace::writer
