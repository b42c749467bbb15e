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
  bool operator==(const SessionRecord&) const = default;
};

[[nodiscard]] std::string encode(const SessionRecord& record);
/// kCorrupt if the bytes are no such record.
[[nodiscard]] Result<SessionRecord> decode_session(std::string_view bytes);

/// Key of a session's records: `tenant/device/client id`.
[[nodiscard]] std::string session_key(const Visit& visit);

/// The sessions of all gateways as the log says; they stay encoded, so that an idle one costs its record and about
/// 200 B. Pure; one thread at a time.
class SessionTable {
 public:
  explicit SessionTable(std::string gateway) : gateway_(std::move(gateway)) {}

  /// What one gateway waits longer than the one that had the session before it calls it expired.
  static constexpr TimeUs kGrace = 60 * kUsPerSecond;

  /// A record's value; none: a tombstone. kCorrupt: not understood, nothing is changed.
  [[nodiscard]] Status apply(std::string_view key, std::optional<std::string_view> value);
  void clear();

  /// The session, unless there is none or its time is over.
  [[nodiscard]] std::optional<mqtt::StoredSession> find(std::string_view key, TimeUs now) const;
  /// Whether there is a record, expired or not.
  [[nodiscard]] bool contains(std::string_view key) const { return sessions_.contains(key); }

  /// Keys whose time is over and whose tombstone this gateway is to write; each is given again after kGrace.
  [[nodiscard]] std::vector<std::string> take_expired(TimeUs now);

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }

 private:
  struct Entry {
    std::string value;
    TimeUs expires = 0;  // 0: never, or connected
    TimeUs due = 0;      // in due_; 0: not there
  };
  void schedule(const std::string& key, Entry& entry, TimeUs due);

  std::string gateway_;
  std::unordered_map<std::string, Entry, StringHash, std::equal_to<>> sessions_;
  std::set<std::pair<TimeUs, std::string>> due_;
};

}  // namespace millrace::gateway
