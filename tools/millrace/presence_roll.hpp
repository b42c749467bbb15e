#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "millrace/devices/v1/presence.pb.h"

namespace millrace::cli {

/// Who is there, from the records of the topic `presence` in the order of their offsets within each partition. Of one
/// client the greatest epoch counts, and of one epoch its end.
class PresenceRoll {
 public:
  struct Entry {
    std::uint64_t epoch = 0;
    devices::v1::Presence record;
    [[nodiscard]] bool connected() const { return record.state() == devices::v1::PRESENCE_STATE_CONNECTED; }
  };

  /// False: the record changes nothing, it came late or says again what is known.
  bool take(devices::v1::Presence record, std::uint64_t offset);

  /// By `tenant/device/client id`.
  [[nodiscard]] const std::map<std::string, Entry>& clients() const { return clients_; }

 private:
  std::map<std::string, Entry> clients_;
};

/// `keep_alive`, `takeover`…; empty for a connection that has not ended.
[[nodiscard]] std::string cause_text(devices::v1::DisconnectCause cause);
/// `mqtt5`, `mqtt311`.
[[nodiscard]] std::string protocol_text(telemetry::v1::Protocol protocol);

}  // namespace millrace::cli
