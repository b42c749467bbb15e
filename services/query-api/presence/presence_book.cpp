#include "presence/presence_book.hpp"

#include <mutex>

namespace millrace::query_api {
namespace {

using devices::v1::Presence;

constexpr char kBetween = '\0';

std::string_view device_in(std::string_view key) { return key.substr(0, key.find(kBetween)); }

/// The first key that may belong to a device behind `device`: the byte behind kBetween.
std::string behind(std::string_view device) { return std::string(device) + '\1'; }

bool fits(const Presence& record, const PresenceFilter& filter) {
  return (filter.state == devices::v1::PRESENCE_STATE_UNSPECIFIED || filter.state == record.state()) &&
         (filter.gateway.empty() || filter.gateway == record.gateway());
}

}  // namespace

void PresenceBook::take(Presence record, std::uint64_t offset) {
  const std::uint64_t epoch = record.has_epoch() ? record.epoch() : offset;
  const bool connected = record.state() == devices::v1::PRESENCE_STATE_CONNECTED;
  record.set_epoch(epoch);
  const std::unique_lock lock(mutex_);
  Entry& known = tenants_[record.tenant()][record.device() + kBetween + record.client_id()];
  const bool of_this_reading = !known.record.empty() && known.generation == generation_;
  known.generation = generation_;
  if (of_this_reading && (epoch < known.epoch || (epoch == known.epoch && (connected || !known.connected)))) return;
  known.epoch = epoch;
  known.connected = connected;
  known.record = record.SerializeAsString();
}

void PresenceBook::end_reading() {
  const std::unique_lock lock(mutex_);
  for (auto tenant = tenants_.begin(); tenant != tenants_.end();) {
    std::erase_if(tenant->second, [&](const auto& client) { return client.second.generation != generation_; });
    tenant = tenant->second.empty() ? tenants_.erase(tenant) : std::next(tenant);
  }
}

PresencePage PresenceBook::page(std::string_view tenant, const PresenceFilter& filter, const std::string& after,
                                std::size_t most, const std::function<bool(const std::string&)>& known) const {
  PresencePage page;
  const std::shared_lock lock(mutex_);
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return page;
  const Clients& clients = found->second;
  std::size_t looks = 0;
  std::string_view last;
  auto next = after.empty() ? clients.begin() : clients.upper_bound(after);
  while (next != clients.end()) {
    const std::string_view device = device_in(next->first);
    if (!filter.devices.empty() && !filter.devices.contains(device)) {
      const auto wanted = filter.devices.upper_bound(device);
      if (wanted == filter.devices.end()) return page;
      next = clients.lower_bound(*wanted);
      continue;
    }
    if (page.clients.size() == most || looks == kLooks) {
      page.next = std::string(last);
      return page;
    }
    ++looks;
    last = next->first;
    if (!known(std::string(device))) {
      next = clients.lower_bound(behind(device));
      continue;
    }
    Presence record;
    if (record.ParseFromString(next->second.record) && fits(record, filter)) page.clients.push_back(std::move(record));
    ++next;
  }
  return page;
}

std::size_t PresenceBook::clients() const {
  const std::shared_lock lock(mutex_);
  std::size_t count = 0;
  for (const auto& [tenant, clients] : tenants_) count += clients.size();
  return count;
}

}  // namespace millrace::query_api
