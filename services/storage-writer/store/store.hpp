#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/copy.hpp>

#include "announce/dead_tail.hpp"
#include "batch/batch.hpp"
#include "batch/handover.hpp"
#include "store/resolver.hpp"

namespace millrace::writer {

/// A stored series as it is: greatest time of all rows, and the newest row not later than a bound.
struct SeriesState {
  SeriesKey key;
  std::int32_t partition = 0;
  std::optional<TimeUs> max_time;
  std::optional<TimeUs> latest_time;
  Cell latest;
};

struct KeyColumns;

/// Statements of the writer on one connection. Every call blocks until the connection's deadline; one thread.
class Store final : public StoredSamples {
 public:
  Store(postgres::ConnectOptions options, std::string topic) : options_(std::move(options)), topic_(std::move(topic)) {}

  /// Opens the connection if there is none. kUnavailable: try again later.
  [[nodiscard]] Status connect();
  void disconnect() { connection_.reset(); }
  [[nodiscard]] bool connected() const { return connection_ && connection_->usable(); }
  /// While connected.
  [[nodiscard]] postgres::Connection& connection() { return *connection_; }
  /// About the last failed call.
  [[nodiscard]] postgres::ServerError last_error() const;
  /// While connected: the following calls may together take so long, and end early once `void_now` says so
  /// (kUnknownOutcome). Until be_usual().
  [[nodiscard]] Status be_patient(std::chrono::milliseconds patience, std::function<bool()> void_now);
  void be_usual();

  [[nodiscard]] Result<std::map<std::int32_t, OffsetRow>> offsets();
  /// First row of a partition; an existing one stays.
  [[nodiscard]] Status create_offset(std::int32_t partition, std::int64_t next_offset, std::string_view cluster_id);

  [[nodiscard]] Result<std::int64_t> default_partition_rows();

  /// The dead records below each position, as a writer that went away may not have said them.
  [[nodiscard]] Result<std::map<std::int32_t, DeadTail>> dead_tails(
      const std::map<std::int32_t, Opening::Partition>& partitions);
  /// Those of the offsets whose records are dead, with what is known of each.
  [[nodiscard]] Result<std::map<std::int64_t, DeadTail::Record>> dead_among(std::int32_t partition,
                                                                            std::int32_t generation,
                                                                            std::span<const std::int64_t> offsets);

  Result<std::vector<std::optional<TimeUs>>> max_times(std::span<const SeriesKey> series) override;
  Result<std::vector<StoredSample>> find(std::span<const SampleKey> keys) override;
  /// For `latest` after a start: what the rows themselves say.
  [[nodiscard]] Result<std::vector<SeriesState>> series_states(std::span<const SeriesKey> series, TimeUs latest_bound);

  /// Everything of a batch in one transaction. kConflict names the partition in `fenced`: its offset is another.
  /// kConflict without `fenced`: a day was compacted since the changes were resolved; resolve them again.
  /// kUnknownOutcome: read the offsets. `order` is the order of the COPY's rows, so that last_error().copy_line names
  /// one.
  struct Transaction {
    const Batch* batch = nullptr;
    const Changes* changes = nullptr;
    std::span<const std::size_t> order;  ///< indexes of changes->inserts, sorted by (device, metric, time)
  };
  [[nodiscard]] Status commit(const Transaction& transaction, std::optional<std::int32_t>& fenced);

  /// Takes the replays out of a batch whose points are stored already (they become copies) and those of a dead letter
  /// that nobody knows (they become dead themselves). The same batch may be asked about again.
  [[nodiscard]] Status settle_replays(Batch& batch);

  /// The old and the new latest_offset by partition.
  using LatestMoves = std::map<std::int32_t, std::pair<std::int64_t, std::int64_t>>;
  /// Upserts into latest and moves latest_offset, in one transaction.
  [[nodiscard]] Status flush_latest(std::span<const PendingLatest> pending, const LatestMoves& offsets,
                                    std::optional<std::int32_t>& fenced);

  /// One replaced or moved row at a time in a transaction that is rolled back: finds the one that the database refuses.
  [[nodiscard]] Result<std::vector<std::size_t>> refused_replacements(std::span<const NewSample> replaced);

 private:
  [[nodiscard]] Status move_offsets(const Batch& batch, std::optional<std::int32_t>& fenced);
  [[nodiscard]] Status move_latest_offsets(const LatestMoves& offsets, std::optional<std::int32_t>& fenced);
  [[nodiscard]] Status mark_replayed(std::int32_t partition, const Slice& slice, std::optional<std::int32_t>& fenced);
  [[nodiscard]] Status note_copies(const Batch& batch);
  [[nodiscard]] Status note_ledger(const Batch& batch, const Changes& changes);
  [[nodiscard]] Status note_dead(std::int32_t partition, const Slice& slice);
  // The points of a stretch of days, in the order of their times.
  [[nodiscard]] Status find_stretch(std::span<const SampleKey> by_time, std::vector<StoredSample>& found);
  [[nodiscard]] Status replace(std::span<const NewSample> replaced);
  [[nodiscard]] Status replace_stretch(std::span<const NewSample* const> by_time);
  [[nodiscard]] Status move(std::span<const MovedSample> moved);
  [[nodiscard]] Status reopen(const KeyColumns& keys);
  [[nodiscard]] Status copy(const Transaction& transaction);

  postgres::ConnectOptions options_;
  std::string topic_;
  std::unique_ptr<postgres::Connection> connection_;
  postgres::CopyEncoder encoder_;
};

}  // namespace millrace::writer
