#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/devices/v1/presence.pb.h"

namespace millrace::query_api {

struct PresenceFilter {
  std::set<std::string, std::less<>> devices;  ///< empty: all
  devices::v1::PresenceState state = devices::v1::PRESENCE_STATE_UNSPECIFIED;
  std::string gateway;  ///< empty: all
};

struct PresencePage {
  std::vector<devices::v1::Presence> clients;
  std::optional<std::string> next;  ///< position behind the last one looked at; empty: no more
};

/// The last connection of each client, from the records of the topic `presence` in the order of their offsets. About
/// 250 bytes a client. One thread changes it, any number read. No I/O.
class PresenceBook {
 public:
  /// Around a further reading from the topic's beginning: clients that it does not name are gone behind it.
  void begin_again() { ++generation_; }
  void end_reading();
  /// Of one client the greatest epoch counts, and of one epoch its end; see docs/presence.md.
  void take(devices::v1::Presence record, std::uint64_t offset);

  /// By (device, client id), behind position `after` (empty: from the beginning): at most `most`, and no more than
  /// kLooks are looked at. `known` says whether a device still exists.
  [[nodiscard]] PresencePage page(std::string_view tenant, const PresenceFilter& filter, const std::string& after,
                                  std::size_t most, const std::function<bool(const std::string&)>& known) const;

  [[nodiscard]] std::size_t clients() const;

  static constexpr std::size_t kLooks = 20'000;

 private:
  struct Entry {
    std::uint64_t epoch = 0;
    std::string record;  // serialized
    bool connected = false;
    std::uint8_t generation = 0;
  };
  using Clients = std::map<std::string, Entry, std::less<>>;  // by device, NUL, client id

  mutable std::shared_mutex mutex_;
  std::map<std::string, Clients, std::less<>> tenants_;
  std::uint8_t generation_ = 0;  // of the thread that changes it
};

}  // namespace millrace::query_api
