#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

#include "batch/batch.hpp"
#include "derived/derived_batch.hpp"
#include "store/day_partitions.hpp"

namespace millrace::writer {

/// Rows that a transaction added; what was there before stays and does not count.
struct DerivedCounts {
  std::int64_t windows = 0;
  std::int64_t alerts = 0;
};

/// Statements of the derived topics on a connection of their own. Every call blocks until the connection's deadline;
/// one thread.
class DerivedStore {
 public:
  DerivedStore(postgres::ConnectOptions options, std::size_t max_partitions)
      : options_(std::move(options)), days_(kWindowDays, max_partitions) {}

  /// Opens the connection if there is none. kUnavailable: try again later.
  [[nodiscard]] Status connect();
  void disconnect() { connection_.reset(); }
  [[nodiscard]] bool connected() const { return connection_ && connection_->usable(); }
  /// About the last failed call.
  [[nodiscard]] postgres::ServerError last_error() const;

  [[nodiscard]] Result<std::map<std::int32_t, OffsetRow>> offsets(std::string_view topic);
  [[nodiscard]] Status create_offset(const kafka::TopicPartition& where, std::int64_t next_offset,
                                     std::string_view cluster_id);
  /// The log of the row is gone: the next generation begins at `next_offset`. kConflict: the row is no longer `row`.
  [[nodiscard]] Status restart_offset(const kafka::TopicPartition& where, const OffsetRow& row,
                                      std::int64_t next_offset, std::string_view cluster_id);

  /// Metric ids and day partitions of a batch, committed before it returns.
  [[nodiscard]] Status prepare(const DerivedBatch& batch);
  /// Everything of a prepared batch in one transaction. kConflict names the partition in `fenced`: its offset is
  /// another. kUnknownOutcome: read the offsets.
  [[nodiscard]] Result<DerivedCounts> commit(const DerivedBatch& batch, std::optional<kafka::TopicPartition>& fenced);
  /// After commit() failed by the data: records (indexes of batch.records, ascending) that the database refuses, found
  /// one row at a time in transactions that are rolled back.
  [[nodiscard]] Result<std::vector<std::size_t>> refused(const DerivedBatch& batch);

 private:
  [[nodiscard]] Result<std::int64_t> put_windows(const std::vector<const WindowRow*>& rows);
  [[nodiscard]] Result<std::int64_t> put_alerts(const DerivedBatch& batch, const std::vector<const AlertRow*>& rows);
  [[nodiscard]] Status mark_superseded(const std::vector<const AlertRow*>& rows);
  [[nodiscard]] std::int32_t metric_id(const WindowRow& row) const;

  postgres::ConnectOptions options_;
  std::unique_ptr<postgres::Connection> connection_;
  DayPartitions days_;
  std::unordered_map<std::string, std::int32_t> ids_;  // by tenant, NUL, metric
};

}  // namespace millrace::writer
