#pragma once

#include <string>

#include <millrace/archive/store_settings.hpp>

namespace millrace::query_api {

/// A folder with the archive of a database, and an archiver that takes every closed day to it. The folder goes with
/// this. Needs PARQUET_WORKER.
class ArchivedDays {
 public:
  ArchivedDays(std::string database_url, const std::string& name);
  ~ArchivedDays();
  ArchivedDays(const ArchivedDays&) = delete;
  ArchivedDays& operator=(const ArchivedDays&) = delete;

  /// For the service that reads it.
  [[nodiscard]] archive::StoreSettings settings() const;
  /// All days that ended leave the database, with their late rows too; an assertion fails where they do not.
  void take_all();
  /// Of the files.
  [[nodiscard]] std::string store() const { return folder_ + "/store"; }

 private:
  std::string database_url_;
  std::string folder_;
};

}  // namespace millrace::query_api
