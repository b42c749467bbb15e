#include "presence_roll.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace millrace::cli {

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
  constexpr std::string_view kPrefix = "DISCONNECT_CAUSE_";
  if (cause == devices::v1::DISCONNECT_CAUSE_UNSPECIFIED) return {};
  std::string name = devices::v1::DisconnectCause_Name(cause);
  name.erase(0, std::min(kPrefix.size(), name.size()));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace millrace::cli
