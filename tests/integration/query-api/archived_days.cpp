#include "archived_days.hpp"

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>

#include "work/archiver.hpp"

namespace millrace::query_api {

ArchivedDays::ArchivedDays(std::string database_url, const std::string& name)
    : database_url_(std::move(database_url)),
      folder_((std::filesystem::path(::testing::TempDir()) / ("archive_" + name)).string()) {
  // As the services have it: a worker that ended is an error of its call.
  std::signal(SIGPIPE, SIG_IGN);
  std::filesystem::create_directories(store());
}

ArchivedDays::~ArchivedDays() { std::filesystem::remove_all(folder_); }

archive::StoreSettings ArchivedDays::settings() const {
  archive::StoreSettings settings;
  settings.fields = {{"store", "directory"}, {"root", store()}};
  settings.worker = PARQUET_WORKER;
  return settings;
}

void ArchivedDays::take_all() {
  archiver::Config config;
  config.database.url = database_url_;
  config.store = settings();
  config.spool = folder_;
  config.after_days = 0;
  config.merge_interval = config.grace = std::chrono::seconds{0};
  config.database.call_timeout = config.database.statement_timeout = config.database.idle_in_transaction_timeout =
      config.step_timeout;
  observability::Metrics metrics;
  const archiver::ArchiverMetrics archiver_metrics(metrics);
  archiver::Archiver archiver(config, archiver_metrics);
  const Status done = archiver.pass();
  ASSERT_TRUE(done.ok()) << done.error().message;
}

}  // namespace millrace::query_api
