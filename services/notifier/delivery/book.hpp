#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "delivery/event.hpp"
#include "delivery/partition_progress.hpp"
#include "delivery/tenant_queue.hpp"

namespace millrace::notifier {

struct BookLimits {
  QueueRules rules;
  std::size_t tenant_events = 256;  ///< events of one tenant in memory
  std::size_t events = 50'000;      ///< of all tenants; beyond, each tenant still gets kReserve
  static constexpr std::size_t kReserve = 4;
};

/// A stretch of a partition that is to be read again for one tenant.
struct BacklogJob {
  std::int32_t partition = 0;
  std::uint64_t epoch = 0;
  std::string tenant;
  std::int64_t from = 0;
};

/// What an event became of that was offered.
enum class Taken {
  kQueued,
  kLeft,      ///< it stays in the log and is read again
  kUnwanted,  ///< it is over already
};

/// All deliveries that are open: the tenants' queues, and per partition what is over. Pure; one caller at a time.
///
/// Memory is bounded per tenant and over all; what has no room stays in the log, by its offset. A tenant whose queue is
/// full takes no room from others, and reading never stops for it.
class Book {
 public:
  explicit Book(const BookLimits& limits) : limits_(limits) {}

  /// A partition is this process's from now on. Returns where to read it from.
  std::int64_t open(std::int32_t partition, const Saved& saved);
  /// It is not any more: its events leave the queues; answers that still come for them count for nothing.
  void close(std::int32_t partition);

  /// An event from the first reader, in the order of its partition.
  Taken take(Event event, Clock::time_point now);
  /// The first reader has passed everything below, with nothing (more) to deliver.
  void pass(std::int32_t partition, std::int64_t next_offset);

  /// The next stretch to read again, in turn over the tenants that are behind and have room. nullopt: none now.
  [[nodiscard]] std::optional<BacklogJob> next_backlog();
  /// Grows when next_backlog() may have something again.
  [[nodiscard]] std::uint64_t backlog_changes() const { return backlog_changes_; }
  /// An event of the job's tenant. kLeft: its queue is full, the job ends.
  Taken take_backlog(const BacklogJob& job, Event event, Clock::time_point now);
  /// Everything of the job's tenant below is looked at. False: the job ends, because nothing is left to read or the
  /// partition is not ours any more.
  bool reach(const BacklogJob& job, std::int64_t next_offset);

  struct Due {
    Event event;           ///< a copy
    bool expired = false;  ///< it is over; else its request is under way from now on
  };
  /// What is due longest, tenants in turn; nullopt: nothing now.
  [[nodiscard]] std::optional<Due> start(Clock::time_point now, TimeUs now_us);
  /// When start() may have something again.
  [[nodiscard]] std::optional<Clock::time_point> wake_at() const;

  /// Whether and how the event of a request that was started is over; nullopt: it will be tried again, or it is another
  /// process's now.
  [[nodiscard]] std::optional<Ending> finish(const Event& event, const Answer& answer, Clock::time_point now,
                                             TimeUs now_us);
  /// The event of a request that was started has no webhook any more.
  void finish_without_webhook(const Event& event, Clock::time_point now);

  /// The tenant's webhook was set, replaced or deleted.
  void webhook_changed(std::string_view tenant, Clock::time_point now);
  /// The tenant has no webhook: nothing of its backlog needs to be read.
  void forget_backlog(std::string_view tenant);

  /// Partitions whose progress changed since it was last taken, with it.
  [[nodiscard]] std::map<std::int32_t, Saved> take_changed();
  [[nodiscard]] std::map<std::int32_t, Saved> save(const std::vector<std::int32_t>& partitions) const;
  /// take_changed() gives these again: they could not be kept.
  void keep_again(const std::map<std::int32_t, Saved>& progress);

  struct Figures {
    std::size_t events = 0;
    std::size_t in_flight = 0;
    std::size_t tenants_down = 0;
    std::size_t tenants_behind = 0;
    std::size_t partitions = 0;
  };
  [[nodiscard]] Figures figures() const;

 private:
  struct Partition {
    PartitionProgress progress;
    std::uint64_t epoch = 0;
    std::uint64_t kept_version = 0;
    bool keep = true;
  };
  struct Tenant {
    TenantQueue queue;
    std::optional<Clock::time_point> wake;
  };
  using Tenants = std::map<std::string, Tenant, std::less<>>;

  [[nodiscard]] Partition* current(std::int32_t partition, std::uint64_t epoch);
  [[nodiscard]] bool has_room(std::string_view tenant, std::size_t limit) const;
  void queue(Partition& partition, Event event, Clock::time_point now);
  void reschedule(Tenants::iterator tenant);
  void over(const Event& event);
  [[nodiscard]] std::size_t refill_below() const;
  [[nodiscard]] std::optional<Event> finish(const Event& event, Verdict verdict, const Answer& answer, bool give_up,
                                            Clock::time_point now);

  BookLimits limits_;
  std::map<std::int32_t, Partition> partitions_;
  Tenants tenants_;
  std::set<std::pair<Clock::time_point, std::string>> wakes_;
  std::size_t events_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t backlog_changes_ = 0;
  std::pair<std::int32_t, std::string> last_backlog_{-1, ""};
};

}  // namespace millrace::notifier
