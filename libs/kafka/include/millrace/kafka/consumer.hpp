#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

/// A consumed record; owns librdkafka's message, the views live as long as it does. Movable, cheap to move.
class Record {
 public:
  Record() = default;
  Record(Record&&) noexcept = default;
  Record& operator=(Record&&) noexcept = default;

  [[nodiscard]] std::string_view topic() const;
  [[nodiscard]] std::int32_t partition() const { return partition_; }
  [[nodiscard]] std::int64_t offset() const { return offset_; }
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view value() const { return value_; }
  [[nodiscard]] bool is_tombstone() const { return tombstone_; }
  /// The broker's (LogAppendTime) or producer's timestamp in microseconds (Kafka keeps milliseconds); 0: none.
  [[nodiscard]] TimeUs timestamp_us() const { return timestamp_us_; }

  /// The last header of that name. Walks the headers; no cost for records that are not asked.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  [[nodiscard]] std::vector<Header> headers() const;

 private:
  friend class Consumer;
  struct Release {
    void operator()(void* message) const noexcept;
  };
  std::unique_ptr<void, Release> message_;
  std::string_view key_;
  std::string_view value_;
  std::int64_t offset_ = -1;
  TimeUs timestamp_us_ = 0;
  std::int32_t partition_ = -1;
  bool tombstone_ = false;
};

enum class Isolation { kReadCommitted, kReadUncommitted };

struct ConsumerOptions {
  /// Empty: no group; positions come from assign(). Otherwise subscribe() joins this group.
  std::string group_id = {};
  /// Static membership (KIP-345): a restart within session_timeout does not rebalance; a second holder fences the
  /// first.
  std::string group_instance_id = {};
  std::chrono::milliseconds session_timeout{6'000};
  std::chrono::milliseconds max_poll_interval{300'000};
  Isolation isolation = Isolation::kReadCommitted;
  /// Bound of what is fetched ahead, over all partitions. The fetch that passes it still comes in whole.
  std::size_t prefetch_bytes = 64 * 1024 * 1024;
  /// What one fetch brings of a partition, as the broker has it, compressed. In memory it is unpacked.
  std::size_t fetch_bytes = 1024 * 1024;
  /// How long the broker holds a fetch that has less than fetch_min_bytes.
  std::chrono::milliseconds fetch_wait{500};
  /// 1: new data ends the wait at once. A reader of a busy topic asks for more, or it fetches once for every request of
  /// every producer; what it then waits at most is fetch_wait.
  std::size_t fetch_min_bytes = 1;

  /// For a topic that many producers write to all the time, by readers that can wait 10 ms.
  ConsumerOptions& in_bulk() {
    fetch_wait = std::chrono::milliseconds{10};
    fetch_min_bytes = 256 * 1024;
    return *this;
  }
};

/// Why a consumer cannot go on, or that it had to wait.
enum class Fault {
  kTransient,         ///< broker away, leader moving: goes on by itself; poll again
  kOffsetOutOfRange,  ///< the wanted offset is not in the log (auto.offset.reset=error); `where` names the partition
  kFenced,            ///< another holder of group_instance_id took over: end this consumer
  kPollTooSlow,       ///< max_poll_interval passed without a poll: the assignment is lost, it will be given again
  kUnknownTopic,      ///< there is no such topic or partition (yet)
  kFatal,             ///< end this consumer and make another
};

struct Polled {
  enum class Kind {
    kNothing,  ///< time-out
    kRecord,
    kEndOfPartition,  ///< everything up to `position.offset` has been given; comes again after each new stretch
    kFault,
  };
  Kind kind = Kind::kNothing;
  Record record = {};      ///< kRecord
  Position position = {};  ///< kEndOfPartition: next offset; kFault: of the partition concerned, if one is
  Fault fault = Fault::kTransient;
  std::string message = {};  ///< kFault: for the log
};

enum class Revocation {
  kOrderly,  ///< this member still owns the partitions while the callback runs: commit, then return
  kLost,     ///< another member may own them already: commit nothing that is not fenced
};

/// Both run inside poll() (or close()), on the polling thread.
struct RebalanceCallbacks {
  /// Gives the offset to start from for each partition, usually from the database. An Error leaves the partitions
  /// unassigned and comes out of poll() as Fault::kFatal.
  std::function<Result<std::vector<Position>>(std::span<const TopicPartition>)> on_assigned;
  std::function<void(std::span<const TopicPartition>, Revocation)> on_revoked;
};

/// What a group has committed for one partition, by a transaction (TransactionalProducer::send_positions()).
struct CommittedPosition {
  TopicPartition where;
  std::int64_t offset = -1;   ///< of the next record; -1: nothing was committed yet
  std::string metadata = {};  ///< text that goes with it; the broker takes 4,096 bytes
};

/// Who this member is in its group at present (KIP-447): what fences a member that the group has gone on without.
class GroupMetadata {
 public:
  GroupMetadata(GroupMetadata&&) noexcept = default;
  GroupMetadata& operator=(GroupMetadata&&) noexcept = default;

 private:
  friend class Consumer;
  friend class TransactionalProducer;
  struct Release {
    void operator()(void* metadata) const noexcept;
  };
  explicit GroupMetadata(void* metadata) : metadata_(metadata) {}
  std::unique_ptr<void, Release> metadata_;
};

/// A consumer for one thread: every call from the same thread at a time. Range assignor, eager; it commits nothing by
/// itself (positions live with the data they belong to, or in the transaction of a TransactionalProducer);
/// auto.offset.reset=error; records one at a time (librdkafka 2.0.2 can skip records in batches around pause, issue
/// 4208).
class Consumer {
 public:
  /// Throws std::invalid_argument on a bad property.
  Consumer(const Settings& settings, const ConsumerOptions& options);
  /// close(), then waits for the client's threads.
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  /// Joins the group. Needs ConsumerOptions::group_id.
  [[nodiscard]] Status subscribe(const std::vector<std::string>& topics, RebalanceCallbacks callbacks);

  /// Reads exactly these partitions from these offsets, without a group; replaces an earlier assignment. What was
  /// paused flows again.
  [[nodiscard]] Status assign(std::span<const Position> positions);

  /// One record, or what else happened, or kNothing after `timeout` (0: at once). An idle call costs no CPU. Must be
  /// called at least every max_poll_interval.
  [[nodiscard]] Polled poll(std::chrono::milliseconds timeout);

  /// The next record of the partition comes from `offset`; records fetched ahead are dropped. Blocks up to `timeout`.
  [[nodiscard]] Status seek(const Position& position, std::chrono::milliseconds timeout);

  /// Stops and restarts the flow of some partitions. What was fetched ahead of them is fetched again.
  [[nodiscard]] Status pause(std::span<const TopicPartition> partitions);
  [[nodiscard]] Status resume(std::span<const TopicPartition> partitions);

  [[nodiscard]] std::vector<TopicPartition> assignment() const;

  /// Asks the broker. kOffsetOutOfRange has no meaning here; kUnavailable in `timeout`, kNotFound without such a
  /// partition.
  [[nodiscard]] Result<Watermarks> watermarks(const TopicPartition& where, std::chrono::milliseconds timeout);

  /// What the last fetch said; costs nothing. nullopt before the first fetch.
  [[nodiscard]] std::optional<Watermarks> cached_watermarks(const TopicPartition& where) const;

  /// First offset whose timestamp is at or after `time_us`, for each partition; kOffsetEnd where none is.
  [[nodiscard]] Result<std::vector<Position>> offsets_at(std::span<const TopicPartition> partitions, TimeUs time_us,
                                                         std::chrono::milliseconds timeout);

  /// The group's committed positions. With Isolation::kReadCommitted it waits for open transactions that would move
  /// them. Needs ConsumerOptions::group_id.
  [[nodiscard]] Result<std::vector<CommittedPosition>> committed(std::span<const TopicPartition> partitions,
                                                                 std::chrono::milliseconds timeout);

  /// Membership as of now, for TransactionalProducer::send_positions().
  [[nodiscard]] GroupMetadata group_metadata() const;

  [[nodiscard]] Result<int> partitions(const std::string& topic, std::chrono::milliseconds timeout);
  [[nodiscard]] Result<std::string> cluster_id(std::chrono::milliseconds timeout);

  /// How often a broker's connection was lost so far, as poll() learned it: whoever must know that the log is still the
  /// same one asks after each poll.
  [[nodiscard]] std::uint64_t connection_losses() const;

  /// Leaves the group (a static member only closes), after on_revoked for what is assigned. No calls after it.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
