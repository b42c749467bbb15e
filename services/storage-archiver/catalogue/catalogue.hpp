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

/// A day whose partition has rows to go into its next file, or whose file holds what the next one shall not.
struct DueDay {
  std::string day;              ///< YYYY-MM-DD
  std::int32_t generation = 1;  ///< of the file to be written
  std::int32_t previous = 0;    ///< of the file that counts now; 0: none
};

/// Series in the order of a file's rows, with the number of their points where that is known.
struct FileContent {
  std::vector<std::int32_t> devices;
  std::vector<std::int32_t> metrics;
  std::vector<std::int32_t> points;

  void add(std::int32_t device, std::int32_t metric);
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
  /// Files that count and of which nothing is known but their rows' number: of an older version.
  [[nodiscard]] Result<std::vector<ArchivedFile>> without_content();
  [[nodiscard]] Status put_content(const ArchivedFile& file, const FileContent& content);
  [[nodiscard]] Result<FileContent> content(const ArchivedFile& file);
  /// Series that the next file of the day leaves out, without numbers of points.
  [[nodiscard]] Result<FileContent> expired(const std::string& day);
  /// Days of whose files nothing shall stay.
  [[nodiscard]] Result<std::vector<std::string>> to_retire();
  /// From here on the day has no file. False: that has changed meanwhile.
  [[nodiscard]] Result<bool> retire(const std::string& day);
  /// Generation of the file that this one has replaced; 0: none.
  [[nodiscard]] Result<std::int32_t> previous(const ArchivedFile& file);
  /// Superseded for longer than `grace_s`, whose successor has been verified after the exchange.
  [[nodiscard]] Result<std::vector<ArchivedFile>> to_delete(std::int64_t grace_s);
  /// Empty where the day has no file of that generation.
  [[nodiscard]] Result<std::vector<ArchivedFile>> file(const std::string& day, std::int32_t generation);
  /// Keys that count or may still be read.
  [[nodiscard]] Result<std::vector<std::string>> live_keys();

  /// kUnavailable too where a lock was not to be had in a second.
  [[nodiscard]] Status begin(const std::string& day);
  /// False: rows of the file are gone meanwhile; write it again.
  [[nodiscard]] Result<bool> exchange(const ArchivedFile& file, const FileContent& content);
  /// After a file had to be made anew from its detached table.
  [[nodiscard]] Status correct(const ArchivedFile& file, const FileContent& content);
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
