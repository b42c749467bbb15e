#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <millrace/archive/merge.hpp>
#include <millrace/archive/store_settings.hpp>
#include <millrace/archive/worker_call.hpp>

#include "catalogue/catalogue.hpp"

namespace millrace::archiver {

struct StoredObject {
  std::string key;
  std::int64_t bytes = 0;
  TimeUs modified = 0;
};

/// Files through parquet-worker. Each call blocks, at most for `timeout`; one thread.
class FileStore {
 public:
  FileStore(archive::StoreSettings settings, std::chrono::seconds timeout)
      : settings_(std::move(settings)), timeout_(timeout) {}

  /// Asked now and then while a call waits: true ends it. Empty: nobody is asked.
  void set_interrupt(std::function<bool()> interrupt) { interrupt_ = std::move(interrupt); }

  /// What `feed` gives as a file at the local `path`; fills rows, times, size and hashes in. kCorrupt: the worker took
  /// other rows than it was given.
  using Feed = std::function<Status(const std::function<Status(const archive::Row&)>& each)>;
  [[nodiscard]] Status write(const std::string& path, ArchivedFile& file, const Feed& feed);
  [[nodiscard]] Status put(const std::string& path, const ArchivedFile& file);
  /// Reads the stored object whole. kCorrupt: size, SHA-256, rows or their hash differ; kNotFound: it is not there.
  [[nodiscard]] Status verify(const ArchivedFile& file);
  [[nodiscard]] Result<std::unique_ptr<archive::RowSource>> rows(const std::string& key);
  [[nodiscard]] Result<std::vector<StoredObject>> list(const std::string& folder);
  [[nodiscard]] Status remove(const std::string& key);

 private:
  [[nodiscard]] archive_format::Fields request(std::string_view command, const std::string& key) const;
  [[nodiscard]] Result<std::unique_ptr<archive::WorkerCall>> start(const archive_format::Fields& request) const;

  archive::StoreSettings settings_;
  std::chrono::seconds timeout_;
  std::function<bool()> interrupt_;
};

}  // namespace millrace::archiver
