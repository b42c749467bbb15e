#include "presence_roll.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

namespace millrace::cli {
namespace {

/// The name of an enum's value without what all its names begin with; empty for a number that this version does not
/// know.
std::string word(std::string name, std::string_view prefix) {
  if (name.starts_with(prefix)) name.erase(0, prefix.size());
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

bool PresenceRoll::take(devices::v1::Presence record, std::uint64_t offset) {
  const std::uint64_t epoch = record.has_epoch() ? record.epoch() : offset;
  Entry& known = clients_[record.tenant() + "/" + record.device() + "/" + record.client_id()];
  const bool is_first = known.record.state() == devices::v1::PRESENCE_STATE_UNSPECIFIED;
  const bool is_over = record.state() == devices::v1::PRESENCE_STATE_DISCONNECTED;
  if (!is_first && (epoch < known.epoch || (epoch == known.epoch && (!is_over || !known.connected())))) return false;
  known = {epoch, std::move(record)};
  return true;
}

std::string cause_text(devices::v1::DisconnectCause cause) {
  if (cause == devices::v1::DISCONNECT_CAUSE_UNSPECIFIED) return {};
  return word(devices::v1::DisconnectCause_Name(cause), "DISCONNECT_CAUSE_");
}

std::string protocol_text(telemetry::v1::Protocol protocol) {
  return word(telemetry::v1::Protocol_Name(protocol), "PROTOCOL_");
}

}  // namespace millrace::cli
