#include "presence_text.hpp"

#include <millrace/base/time.hpp>

#include "text.hpp"

namespace millrace::cli {

using devices::v1::Presence;

std::vector<std::string> presence_heading() {
  return {"DEVICE", "CLIENT", "STATE", "SINCE", "CAUSE", "PROTOCOL", "ADDRESS", "GATEWAY"};
}

std::string presence_json(const PresenceRoll::Entry& entry) {
  const Presence& record = entry.record;
  std::string line = "{\"tenant\":" + json_string(record.tenant()) + ",\"device\":" + json_string(record.device()) +
                     ",\"client_id\":" + json_string(record.client_id()) +
                     ",\"state\":" + (entry.connected() ? "\"connected\"" : "\"disconnected\"") +
                     ",\"connected\":" + json_string(format_rfc3339(record.connected_us()));
  if (!entry.connected()) {
    line += ",\"disconnected\":" + json_string(format_rfc3339(record.disconnected_us())) +
            ",\"cause\":" + json_string(cause_text(record.cause())) + ",\"detail\":" + json_string(record.detail());
  }
  return line + ",\"protocol\":" + json_string(protocol_text(record.protocol())) +
         ",\"address\":" + json_string(record.address()) + ",\"gateway\":" + json_string(record.gateway()) +
         ",\"epoch\":" + std::to_string(entry.epoch) + "}";
}

std::vector<std::string> presence_row(const PresenceRoll::Entry& entry) {
  const Presence& record = entry.record;
  const TimeUs since = entry.connected() ? record.connected_us() : record.disconnected_us();
  return {record.tenant() + "/" + record.device(),
          printable(record.client_id()),
          entry.connected() ? "connected" : "disconnected",
          format_rfc3339(since),
          cause_text(record.cause()),
          protocol_text(record.protocol()),
          record.address(),
          printable(record.gateway())};
}

}  // namespace millrace::cli
