#include "presence/presence_table.hpp"

#include <algorithm>

namespace millrace::gateway {
namespace {

std::string key_of(const Visit& visit) { return visit.tenant + "/" + visit.device + "/" + visit.client_id; }

}  // namespace

// Few: the gateways and their starts within the life of the connections in the log.
std::uint32_t PresenceTable::home_of(const Visit& visit) {
  const auto known = std::find_if(homes_.begin(), homes_.end(), [&](const Home& home) {
    return home.start == visit.start && home.gateway == visit.gateway;
  });
  if (known != homes_.end()) return static_cast<std::uint32_t>(known - homes_.begin());
  homes_.push_back({visit.gateway, visit.start});
  return static_cast<std::uint32_t>(homes_.size() - 1);
}

bool PresenceTable::is_earlier_self(const Client& client) const {
  const Home& home = homes_[client.home];
  return home.gateway == gateway_ && home.start != start_;
}

void PresenceTable::suspect(std::string_view key, const Client& client, TimeUs due) {
  suspects_.push_back({due, std::string(key), client});
}

PresenceTable::Applied PresenceTable::apply(const PresenceRecord& record, std::uint64_t offset, TimeUs now) {
  const std::uint64_t epoch = record.epoch.value_or(offset);
  const std::string key = key_of(record.visit);
  const auto known = clients_.find(key);
  if (!record.connected) {
    if (known != clients_.end() && known->second.epoch == epoch) clients_.erase(known);
    std::erase_if(suspects_, [&](const Suspect& one) { return one.client.epoch == epoch && one.key == key; });
    return {Meaning::kGone, epoch};
  }
  if (known != clients_.end() && known->second.epoch >= epoch) return {};
  const bool own = record.visit.start == start_;
  // Only the gateway that has the client now looks after the one before: one report is enough.
  if (own && known != clients_.end() && homes_[known->second.home].start != start_) {
    suspect(key, known->second, is_earlier_self(known->second) ? now : now + kGrace);
  }
  clients_.insert_or_assign(key, Client{epoch, record.visit.connected, home_of(record.visit), record.visit.protocol});
  return own ? Applied{} : Applied{Meaning::kNewer, epoch};
}

std::vector<PresenceTable::Dead> PresenceTable::take_dead(TimeUs now) {
  std::vector<Dead> dead;
  std::erase_if(suspects_, [&](const Suspect& one) {
    if (one.due > now) return false;
    const std::string_view key = one.key;
    const std::size_t device = key.find('/') + 1;
    const std::size_t client = key.find('/', device) + 1;
    const Home& home = homes_[one.client.home];
    Visit visit;
    visit.tenant = key.substr(0, device - 1);
    visit.device = key.substr(device, client - device - 1);
    visit.client_id = key.substr(client);
    visit.protocol = one.client.protocol;
    visit.gateway = home.gateway;
    visit.start = home.start;
    visit.connected = one.client.connected;
    dead.push_back({std::move(visit), one.client.epoch});
    return true;
  });
  return dead;
}

void PresenceTable::read_to_end(TimeUs now) {
  for (const auto& [key, client] : clients_) {
    if (is_earlier_self(client)) suspect(key, client, now);
  }
}

void PresenceTable::clear() {
  clients_.clear();
  suspects_.clear();
  homes_.clear();
}

}  // namespace millrace::gateway
