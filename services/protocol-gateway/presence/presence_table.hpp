#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <millrace/base/time.hpp>

#include "ingest/metric_names.hpp"
#include "presence/presence_record.hpp"

namespace millrace::gateway {

/// Which client is connected where, as the log of `presence` says it; tells what follows from a record, and which
/// connections must be taken for dead. Pure; one thread at a time. About 150 B for each connected client.
class PresenceTable {
 public:
  /// `gateway` and `start`: this gateway's own.
  PresenceTable(std::string gateway, std::string start) : gateway_(std::move(gateway)), start_(std::move(start)) {}

  /// How long the gateway of a connection that was taken over has time to say that it has closed it.
  static constexpr TimeUs kGrace = 5 * kUsPerSecond;

  enum class Meaning : std::uint8_t {
    kNothing,
    kNewer,  ///< another gateway has the client: an older connection here is to be closed
    kGone,   ///< a connection is reported as gone: newer ones of its device are to be asserted again
  };
  struct Applied {
    Meaning meaning = Meaning::kNothing;
    std::uint64_t epoch = 0;  ///< the record's
  };
  Applied apply(const PresenceRecord& record, std::uint64_t offset, TimeUs now);

  /// A connection of a gateway that died, to be reported as gone.
  struct Dead {
    Visit visit;
    std::uint64_t epoch = 0;
  };
  /// Connections that were taken over by this gateway more than kGrace ago and not reported by their own; and, once
  /// read_to_end() was called, those of earlier starts of this gateway. Each is given once.
  [[nodiscard]] std::vector<Dead> take_dead(TimeUs now);

  /// The log was read to its end: what is still connected to an earlier start of this gateway is dead.
  void read_to_end(TimeUs now);
  /// The log is read again from its beginning.
  void clear();

  [[nodiscard]] std::size_t size() const { return clients_.size(); }

 private:
  struct Client {
    std::uint64_t epoch = 0;
    TimeUs connected = 0;
    std::uint32_t home = 0;  // index into homes_
    telemetry::Protocol protocol = telemetry::Protocol::kUnspecified;
  };
  struct Home {
    std::string gateway;
    std::string start;
  };
  struct Suspect {
    TimeUs due = 0;
    std::string key;
    Client client;
  };

  std::uint32_t home_of(const Visit& visit);
  [[nodiscard]] bool is_earlier_self(const Client& client) const;
  void suspect(std::string_view key, const Client& client, TimeUs due);

  std::string gateway_;
  std::string start_;
  std::vector<Home> homes_;
  std::unordered_map<std::string, Client, StringHash, std::equal_to<>> clients_;  // by tenant/device/client id
  std::deque<Suspect> suspects_;
};

}  // namespace millrace::gateway
