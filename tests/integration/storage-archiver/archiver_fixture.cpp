#include "archiver_fixture.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <sys/wait.h>
#include <unistd.h>

#include <millrace/base/digest.hpp>
#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>

namespace millrace::archiver {
namespace {

std::string text_of(const archive::Row& row) {
  return std::to_string(row.kind) + (row.untimed ? "u" : "t") +
         (row.kind == 0 ? std::to_string(row.number) : std::string(row.other));
}

std::string key_text(const archive::RowKey& key) {
  return std::to_string(key.device) + "/" + std::to_string(key.metric) + "/" + std::to_string(key.time);
}

}  // namespace

void ArchiverTest::SetUp() {
  const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
  if (url == nullptr) {
    if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr) FAIL() << "MILLRACE_TEST_DATABASE_URL is not set";
    GTEST_SKIP() << "MILLRACE_TEST_DATABASE_URL is not set";
  }
  std::signal(SIGPIPE, SIG_IGN);
  static int count = 0;
  database_ = "archiver_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
  folder_ = (std::filesystem::path(::testing::TempDir()) / database_).string();
  std::filesystem::create_directories(folder_ + "/store");
  std::filesystem::create_directories(folder_ + "/spool");
  use_store();
  if (HasFatalFailure() || IsSkipped()) return;
  admin_ = testing::open_database(url);
  ASSERT_TRUE(admin_->script("CREATE DATABASE " + database_));
  config_.database.url = testing::with_database(url, database_);
  config_.database.application_name = "storage-archiver";
  config_.database.call_timeout = config_.database.statement_timeout = config_.database.idle_in_transaction_timeout =
      config_.step_timeout;
  config_.store.worker = PARQUET_WORKER;
  config_.spool = folder_ + "/spool";
  config_.after_days = 2;
  config_.merge_interval = config_.grace = config_.orphan_age = std::chrono::seconds{0};
  session_ = testing::open_database(config_.database.url);
  ASSERT_TRUE(postgres::migrate(*session_, storage_schema::kSchema, storage_schema::migrations()));
}

void ArchiverTest::use_store() {
  objects_ = folder_ + "/store";
  config_.store.place = "the test's store";
  if (GetParam() == "directory") {
    config_.store.fields = {{"store", "directory"}, {"root", objects_}};
    return;
  }
  s3_ = S3Server::start(folder_);
  if (!s3_) {
    if (std::getenv("MILLRACE_TEST_REQUIRE") != nullptr) FAIL() << "MILLRACE_TEST_VERSITYGW names no S3 server";
    GTEST_SKIP() << "MILLRACE_TEST_VERSITYGW names no S3 server";
  }
  objects_ = s3_->objects() + "/site";
  config_.store.fields = {{"store", "s3"},
                          {"bucket", S3Server::kBucket},
                          {"prefix", "site"},
                          {"endpoint", s3_->endpoint()},
                          {"region", "us-east-1"},
                          {"access_key", S3Server::kAccess},
                          {"secret_key", S3Server::kSecret}};
}

void ArchiverTest::TearDown() {
  session_.reset();
  s3_.reset();
  if (admin_) {
    EXPECT_TRUE(admin_->script("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)"));
  }
  std::filesystem::remove_all(folder_);
}

std::string ArchiverTest::day_ago(int days) {
  return format_rfc3339(now_us() - days * 86'400LL * kUsPerSecond).substr(0, 10);
}

void ArchiverTest::run(const std::string& sql) {
  const auto done = session_->script(sql);
  ASSERT_TRUE(done.ok()) << sql << ": " << done.error().message;
}

std::int64_t ArchiverTest::ask(const std::string& sql) {
  auto rows = session_->exec(sql);
  if (!rows || rows->empty()) {
    ADD_FAILURE() << sql << ": " << (rows ? "no row" : rows.error().message);
    return -1;
  }
  return rows->integer(0, 0);
}

void ArchiverTest::fill(const std::string& day, int rows) {
  run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
  run("INSERT INTO storage.sample SELECT '" + day +
      " 00:00:00Z'::timestamptz + i * interval '1 second', i % 7, 1 + i % 3,"
      " CASE WHEN i % 5 = 0 THEN i * 0.1 END,"
      " CASE WHEN i % 5 > 0 THEN (i % 5)::int2 END,"
      " CASE i % 5 WHEN 1 THEN (9007199254740993 + i)::text WHEN 2 THEN 'true' WHEN 3 THEN 'é' || i"
      " WHEN 4 THEN '{\"n\": ' || i || '}' END,"
      " CASE WHEN i % 11 = 0 THEN true END FROM generate_series(1, " +
      std::to_string(rows) + ") i");
}

void ArchiverTest::insert(const std::string& day, int device, std::int64_t second, double value, bool untimed) {
  run("INSERT INTO storage.sample (time, device_id, metric, value, untimed) VALUES ('" + day +
      " 00:00:00Z'::timestamptz + " + std::to_string(second) + " * interval '1 second', " + std::to_string(device) +
      ", 1, " + std::to_string(value) + ", " + (untimed ? "true" : "NULL") + ")");
}

std::int64_t ArchiverTest::expire(const std::string& day, const std::string& devices) {
  return ask("SELECT coalesce(sum(points), 0)::int8 FROM storage.expire_archived('" + day + "', '{}', '{}', '" +
             devices + "', array_fill(1, ARRAY[cardinality('" + devices + "'::int4[])]))");
}

ArchiverTest::Contents ArchiverTest::hot() {
  Contents contents;
  auto rows = session_->exec("SELECT device_id, metric, time, value, kind, other, untimed FROM storage.sample");
  EXPECT_TRUE(rows.ok());
  for (int i = 0; rows && i < rows->size(); ++i) {
    archive::Row row;
    row.key = {static_cast<std::int32_t>(rows->integer(i, 0)), static_cast<std::int32_t>(rows->integer(i, 1)),
               rows->timestamptz(i, 2)};
    if (!rows->is_null(i, 3)) row.number = rows->float8(i, 3);
    if (!rows->is_null(i, 4)) row.kind = static_cast<std::uint8_t>(rows->integer(i, 4));
    if (!rows->is_null(i, 5)) row.other = rows->text(i, 5);
    row.untimed = !rows->is_null(i, 6);
    EXPECT_TRUE(contents.emplace(key_text(row.key), text_of(row)).second) << "twice: " << key_text(row.key);
  }
  return contents;
}

ArchiverTest::Contents ArchiverTest::cold() {
  Contents contents;
  FileStore store(config_.store, std::chrono::seconds{120});
  auto keys = session_->exec("SELECT key FROM storage.archive_file WHERE superseded_at IS NULL");
  EXPECT_TRUE(keys.ok());
  for (int i = 0; keys && i < keys->size(); ++i) {
    auto source = store.rows(std::string(keys->text(i, 0)));
    for (;;) {
      const auto row = source ? (*source)->next() : Result<const archive::Row*>(source.error());
      if (!row.ok()) ADD_FAILURE() << row.error().message;
      if (!row.ok() || *row == nullptr) break;
      EXPECT_TRUE(contents.emplace(key_text((*row)->key), text_of(**row)).second) << "twice in the archive";
    }
  }
  return contents;
}

ArchiverTest::Contents ArchiverTest::all() {
  Contents contents = hot();
  contents.merge(cold());
  return contents;
}

Status ArchiverTest::pass(const std::function<void(std::string_view)>& after_step) {
  observability::Metrics metrics;
  const ArchiverMetrics archiver_metrics(metrics);
  Archiver archiver(config_, archiver_metrics);
  return archiver.pass(after_step);
}

bool ArchiverTest::killed_after(std::string_view step) {
  const pid_t child = ::fork();
  if (child == 0) {
    (void)pass([step](std::string_view reached) {
      if (reached == step) ::raise(SIGKILL);
    });
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  // The server ends a session whose client is gone; until then that one leads.
  EXPECT_GE(ask("SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE application_name = "
                "'storage-archiver' AND datname = current_database()"),
            0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

std::vector<std::string> ArchiverTest::stored_keys() {
  FileStore store(config_.store, std::chrono::seconds{120});
  auto id = session_->exec("SELECT id FROM storage.archive");
  std::vector<std::string> keys;
  const auto objects = store.list(std::string(id->text(0, 0)));
  EXPECT_TRUE(objects.ok()) << objects.error().message;
  if (objects) {
    for (const StoredObject& one : *objects) keys.push_back(one.key);
  }
  return keys;
}

}  // namespace millrace::archiver
