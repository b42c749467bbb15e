#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::notifier {

/// What is kept of a partition over a restart (notifier.v1.Progress).
struct Saved {
  struct Tenant {
    std::string tenant;
    std::int64_t next_offset = 0;         ///< every event of the tenant below is over, except `open`
    std::vector<std::int64_t> open = {};  ///< ascending
    bool operator==(const Tenant&) const = default;
  };
  std::int64_t next_offset = 0;  ///< every event below is over, except what `tenants` says
  std::vector<Tenant> tenants = {};
  bool operator==(const Saved&) const = default;
};

/// Which events of one partition are over. Pure.
///
/// Besides the position up to which the partition was read, a tenant may be *behind*: its events from an offset on were
/// left in the log, because its queue was full or because a restart has to read them again. They are read again by a
/// second reader, the backlog; from there on nothing of that tenant is taken from the first reader, so that its order
/// is kept.
class PartitionProgress {
 public:
  /// Every tenant that `saved` names begins behind.
  explicit PartitionProgress(const Saved& saved);

  [[nodiscard]] std::int64_t next_offset() const { return next_offset_; }
  /// The first reader has seen everything below `next_offset`.
  void pass(std::int64_t next_offset);

  /// An event is in memory from now on.
  void begin(std::string_view tenant, std::int64_t offset);
  /// It is over.
  void end(std::string_view tenant, std::int64_t offset);

  /// The tenant's events from `offset` on stay in the log.
  void leave(std::string_view tenant, std::int64_t offset);
  [[nodiscard]] bool is_behind(std::string_view tenant) const;
  /// Where the backlog of the tenant goes on; nullopt: it is not behind.
  [[nodiscard]] std::optional<std::int64_t> backlog_from(std::string_view tenant) const;
  /// Whether the backlog has to take the event at `offset`.
  [[nodiscard]] bool is_wanted(std::string_view tenant, std::int64_t offset) const;
  /// The backlog has seen everything of the tenant below `next_offset`; it ends where the first reader is.
  void reach(std::string_view tenant, std::int64_t next_offset);
  /// Nothing is left of the tenant's backlog: it needs none of it any more.
  void forget_backlog(std::string_view tenant);

  [[nodiscard]] std::vector<std::string> tenants_behind() const;

  /// What to keep. With more than `limit` open offsets, lists give way to the position of their first one: more is sent
  /// again after a restart, nothing is lost.
  [[nodiscard]] Saved save(std::size_t limit) const;

  /// Grows with every change that save() shows.
  [[nodiscard]] std::uint64_t version() const { return version_; }

 private:
  struct Backlog {
    std::int64_t cursor = 0;
    std::int64_t all_from = 0;             // from here on every event is wanted
    std::set<std::int64_t> wanted_before;  // below, these only
  };
  struct Tenant {
    std::set<std::int64_t> open;
    std::optional<Backlog> backlog;
  };
  using Tenants = std::map<std::string, Tenant, std::less<>>;

  Tenant& tenant(std::string_view name);
  void forget_if_done(Tenants::iterator found);
  [[nodiscard]] static std::int64_t next_wanted(const Backlog& backlog);
  [[nodiscard]] Saved::Tenant save(const std::string& name, const Tenant& tenant) const;

  std::int64_t next_offset_;
  Tenants tenants_;
  std::uint64_t version_ = 0;
};

}  // namespace millrace::notifier
