#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <millrace/archive/merge.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::archiver {

/// A day whose partition has rows to go into its next file.
struct DueDay {
  std::string day;              ///< YYYY-MM-DD
  std::int32_t generation = 1;  ///< of the file to be written
};

/// A row of storage.archive_file.
struct ArchivedFile {
  std::string day;
  std::int32_t generation = 0;
  std::string key;
  std::int64_t rows = 0;
  TimeUs min_time = 0;
  TimeUs max_time = 0;
  std::int64_t bytes = 0;
  std::string sha256;
  std::string rows_hash;
  std::string detached;  ///< table that waits to be dropped; empty: none
};

/// What the database knows of the archive. Blocks; one thread. Errors as those of postgres::Connection.
class Catalogue {
 public:
  explicit Catalogue(const postgres::ConnectOptions& options) : options_(options) {}

  /// Connects if need be. False: another archiver of this database is at work.
  [[nodiscard]] Result<bool> take_lead();
  void close() { connection_.reset(); }

  /// Part of every key of this installation.
  [[nodiscard]] Result<std::string> id();
  /// Days that ended more than `after_days` ago and have rows outside of files; those that have a file already only
  /// once that one is `merge_interval` old. Oldest first, at most `most`.
  [[nodiscard]] Result<std::vector<DueDay>> due(std::int64_t after_days, std::int64_t merge_interval_s, int most);
  [[nodiscard]] Result<std::vector<ArchivedFile>> to_drop();
  /// Superseded for longer than `grace_s`, whose successor has been verified after the exchange.
  [[nodiscard]] Result<std::vector<ArchivedFile>> to_delete(std::int64_t grace_s);
  /// Empty where the day has no file of that generation.
  [[nodiscard]] Result<std::vector<ArchivedFile>> file(const std::string& day, std::int32_t generation);
  /// Keys that count or may still be read.
  [[nodiscard]] Result<std::vector<std::string>> live_keys();

  /// kUnavailable too where a lock was not to be had in a second.
  [[nodiscard]] Status begin(const std::string& day);
  /// False: rows of the file are gone meanwhile; write it again.
  [[nodiscard]] Result<bool> exchange(const ArchivedFile& file);
  /// After a file had to be made anew from its detached table.
  [[nodiscard]] Status correct(const ArchivedFile& file);
  [[nodiscard]] Status drop(const ArchivedFile& file);
  [[nodiscard]] Status note_deleted(const ArchivedFile& file);

  /// Rows of a table of the schema in the order of a file. One at a time; ends the transaction it began when it goes.
  [[nodiscard]] Result<std::unique_ptr<archive::RowSource>> rows(const std::string& table);

 private:
  [[nodiscard]] Result<std::vector<ArchivedFile>> files(const std::string& condition, const postgres::Params& params);
  [[nodiscard]] Result<bool> has_rows(const std::string& table);

  postgres::ConnectOptions options_;
  std::unique_ptr<postgres::Connection> connection_;
};

/// sample_20261120 of 2026-11-20.
[[nodiscard]] std::string partition_of(const std::string& day);

}  // namespace millrace::archiver
