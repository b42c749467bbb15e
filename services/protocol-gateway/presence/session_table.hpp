#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/mqtt/broker.hpp>

#include "ingest/metric_names.hpp"
#include "presence/presence_record.hpp"

namespace millrace::gateway {

/// A record of the topic `sessions`; devices/v1/session.proto says what it means.
struct SessionRecord {
  std::string tenant;
  std::string device;
  std::string client_id;
  std::string gateway;
  bool connected = false;
  TimeUs disconnected = 0;
  mqtt::StoredSession session;
  std::int32_t device_key = 0;  ///< the registry's number of the device
  bool operator==(const SessionRecord&) const = default;
};

[[nodiscard]] std::string encode(const SessionRecord& record);
/// kCorrupt if the bytes are no such record.
[[nodiscard]] Result<SessionRecord> decode_session(std::string_view bytes);

/// Key of a session's records: `tenant/device/client id`.
[[nodiscard]] std::string session_key(const Visit& visit);

/// A session's key in its parts, which point into it.
struct SessionName {
  std::string_view tenant;
  std::string_view device;
  std::string_view client_id;
};
[[nodiscard]] SessionName parse_session_key(std::string_view key);

/// The sessions of all gateways as the log says; they stay encoded, so that an idle one costs its record and about
/// 200 B. Pure; one thread at a time.
class SessionTable {
 public:
  explicit SessionTable(std::string gateway) : gateway_(std::move(gateway)) {}

  /// What one gateway waits longer than the one that had the session before it calls it expired.
  static constexpr TimeUs kGrace = 60 * kUsPerSecond;

  /// What a record asks of this gateway. A gateway that hung may write after another one has gone on with the session:
  /// such a record has a smaller epoch and changes nothing, but it is the last one in the log now, so the gateway that
  /// has the session writes it again.
  enum class Effect : std::uint8_t {
    kNone,
    kAssert,   ///< the session of a connection here was overwritten or removed: the connection is to write it again
    kRewrite,  ///< a session that ended here was overwritten: value_of() is to be written again
  };
  /// A record's value; none: a tombstone. kCorrupt: not understood, nothing is changed.
  [[nodiscard]] Result<Effect> apply(std::string_view key, std::optional<std::string_view> value);
  /// The session's record as it is; empty: none.
  [[nodiscard]] std::string value_of(std::string_view key) const;
  void clear();

  /// The session, unless there is none, its time is over, or it is that of a device which had this id before.
  [[nodiscard]] std::optional<mqtt::StoredSession> find(std::string_view key, std::int32_t device_key,
                                                        TimeUs now) const;
  /// Whether there is a record, expired or not.
  [[nodiscard]] bool contains(std::string_view key) const { return sessions_.contains(key); }

  /// Keys whose time is over and whose tombstone this gateway is to write; each is given again after kGrace.
  [[nodiscard]] std::vector<std::string> take_expired(TimeUs now);

  /// A session whose connection ended with an earlier start of this gateway.
  struct Orphan {
    std::string key;
    std::uint64_t epoch = 0;
  };
  /// Those that the log says are connected to this gateway. Before it has let in anybody, those are all orphans.
  [[nodiscard]] std::vector<Orphan> own_connected() const;
  /// The orphan's record as one that ended at `now`, so that its expiry begins; none if somebody has gone on with it.
  [[nodiscard]] std::optional<std::string> ended(const Orphan& orphan, TimeUs now) const;

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }

 private:
  struct Entry {
    std::string value;
    TimeUs expires = 0;  // 0: never, or connected
    TimeUs due = 0;      // in due_; 0: not there
    std::uint64_t epoch = 0;
    bool own = false;  // this gateway has or had the connection
    bool connected = false;
  };
  void schedule(const std::string& key, Entry& entry, TimeUs due);

  std::string gateway_;
  std::unordered_map<std::string, Entry, StringHash, std::equal_to<>> sessions_;
  std::set<std::pair<TimeUs, std::string>> due_;
};

}  // namespace millrace::gateway
