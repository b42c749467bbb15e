#include "copy_state.hpp"

#include <algorithm>

#include <millrace/base/digest.hpp>

#include "copy_packing.hpp"

namespace millrace::telemetry {
namespace {

std::uint64_t pack_what(const DeliveryFacts& facts) { return (facts.payload_hash & ~0xffffULL) | facts.packet_id; }

std::uint16_t packet_id_of(std::uint64_t what) { return static_cast<std::uint16_t>(what & 0xffffU); }

// Packet ids are 1 to 65,535, then 1 again (MQTT 5, 2.2.1).
constexpr std::uint32_t kPacketIds = 65'535;

std::uint16_t packet_id_after(std::uint16_t id) { return static_cast<std::uint16_t>(id % kPacketIds + 1); }

/// Steps from `first` on to `last`.
std::size_t packet_ids_between(std::uint16_t first, std::uint16_t last) {
  return (last + kPacketIds - first) % kPacketIds;
}

std::uint64_t pack_coap(const DeliveryFacts& facts) {
  const std::uint64_t hash = hash64(facts.coap_token, facts.payload_hash + (facts.coap_confirmable ? 1 : 0));
  return (hash & ~0xffffULL) | facts.coap_message_id;
}

}  // namespace

std::uint64_t publisher_key(const Batch& facts) {
  const std::string& publisher = facts.delivery.publisher.empty() ? facts.device : facts.delivery.publisher;
  return hash64(publisher, hash64(facts.tenant));
}

CounterMemory::Start& CounterMemory::start_of(const StartId& id, TimeUs log_time) {
  auto found = std::find_if(starts_.begin(), starts_.end(), [&](const Start& start) { return start.id == id; });
  if (found == starts_.end()) {
    while (!starts_.empty() &&
           (starts_.size() >= limits_.starts || log_time - starts_.back().last_used > limits_.id_age)) {
      starts_.pop_back();
    }
    starts_.emplace_front();
    starts_.front().id = id;
    found = starts_.begin();
  }
  if (found != starts_.begin()) starts_.splice(starts_.begin(), starts_, found);
  starts_.front().last_used = log_time;
  return starts_.front();
}

// Makes room for `counter` as the new highest one; the ring grows while the start is young.
void CounterMemory::advance(Start& start, std::uint64_t counter) const {
  const std::uint64_t wanted = std::min<std::uint64_t>(counter, limits_.counter_window);
  if (start.offsets.size() < wanted) {
    std::size_t size = std::max<std::size_t>(start.offsets.size(), 1024);
    while (size < wanted) size *= 2;
    size = std::min(size, limits_.counter_window);
    std::vector<std::int64_t> larger(size, -1);
    const std::uint64_t kept = std::min<std::uint64_t>(start.highest, start.offsets.size());
    for (std::uint64_t c = start.highest - kept + 1; c <= start.highest; ++c) {
      larger[c & (size - 1)] = start.offsets[c & (start.offsets.size() - 1)];
    }
    start.offsets = std::move(larger);
  }
  const std::uint64_t mask = start.offsets.size() - 1;
  const std::uint64_t skipped = std::min<std::uint64_t>(counter - start.highest, start.offsets.size());
  for (std::uint64_t c = counter - skipped + 1; c <= counter; ++c) start.offsets[c & mask] = -1;
  start.highest = counter;
}

std::optional<std::int64_t> CounterMemory::seen(const IngestId& id, std::int64_t offset, TimeUs log_time) {
  Start& start = start_of(id.start, log_time);
  if (id.counter > start.highest) {
    advance(start, id.counter);
  } else if (start.highest - id.counter >= start.offsets.size()) {
    // Further back than anything remembered: keeping a doubtful record is the smaller harm.
    return std::nullopt;
  }
  std::int64_t& slot = start.offsets[id.counter & (start.offsets.size() - 1)];
  if (slot >= 0) return slot;
  slot = offset;
  return std::nullopt;
}

IdMemory::Answer IdMemory::seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset,
                                TimeUs log_time) {
  Publisher& known = publishers_[publisher];
  known.last_used = log_time;
  const std::uint64_t id = hash64(facts.message_id);
  const std::uint64_t now_hour = hour_of(log_time);
  const auto most_hours = static_cast<std::uint64_t>(limits_.id_age / kHour);
  Answer answer;
  for (const Entry& entry : known.ring) {
    if (entry.id != id || hours_before(entry.where, now_hour) > most_hours) continue;
    if (entry.payload == facts.payload_hash) {
      answer.original = static_cast<std::int64_t>(entry.where >> kHourBits);
      answer.other_payload = false;
      return answer;
    }
    answer.other_payload = true;
  }
  const Entry entry{id, facts.payload_hash, pack_hour(offset, now_hour)};
  if (known.ring.size() < limits_.ids_per_publisher) {
    known.ring.push_back(entry);
  } else {
    known.ring[known.next] = entry;
    known.next = static_cast<std::uint32_t>((known.next + 1) % limits_.ids_per_publisher);
  }
  return answer;
}

void IdMemory::forget_before(TimeUs log_time) {
  std::erase_if(publishers_, [&](const auto& item) { return item.second.last_used < log_time; });
}

void MqttMemory::Connection::push(const Record& record) {
  const bool follows =
      !records.empty() && packet_id_of(record.what) == packet_id_after(packet_id_of(records.back().what));
  counted = follows ? std::min<std::uint32_t>(counted, static_cast<std::uint32_t>(records.size())) + 1 : 1;
  records.push_back(record);
}

const MqttMemory::Record* MqttMemory::Connection::last_with(std::uint16_t packet_id, std::size_t most) const {
  const std::size_t size = records.size();
  const std::size_t end = size - std::min(size, most);
  const std::size_t counted_from = size - std::min<std::size_t>(size, counted);
  if (size > counted_from) {
    const std::size_t back = packet_ids_between(packet_id, packet_id_of(records.back().what));
    const bool among = back < size - counted_from && packet_id_of(records[size - 1 - back].what) == packet_id;
    if (among) return size - back > end ? &records[size - 1 - back] : nullptr;
  }
  for (std::size_t i = counted_from; i > end; --i) {
    if (packet_id_of(records[i - 1].what) == packet_id) return &records[i - 1];
  }
  return nullptr;
}

MqttMemory::Found MqttMemory::last_with_packet_id(const Client& client, std::uint16_t packet_id) const {
  const auto most_ticks = static_cast<std::uint64_t>(limits_.record_age / kTick);
  Found last;
  for (const Connection& connection : client.connections) {
    const Record* record = connection.last_with(packet_id, limits_.records_per_connection);
    if (record == nullptr) continue;
    // "Last" is by place in the log, not by epoch: a hung gateway may write late.
    const bool young = ticks_before(record->where, connection.last) <= most_ticks;
    const bool later = last.connection == nullptr || offset_of(record->where) > offset_of(last.record.where);
    if (young && later) last = {&connection, *record};
  }
  return last;
}

MqttMemory::Answer MqttMemory::seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset,
                                    TimeUs log_time) {
  Client& client = clients_[hash64(facts.client_id, publisher)];
  client.last_used = log_time;
  const Found last = last_with_packet_id(client, facts.packet_id);
  Answer answer;
  const bool equal = last.connection != nullptr && last.record.what == pack_what(facts);
  const bool repeated = equal && facts.dup && last.connection->epoch < facts.connection_epoch;
  const bool overtaken = equal && dup_of(last.record.where) && last.connection->epoch > facts.connection_epoch;
  if (repeated || overtaken) {
    if (client.repeats_without_dup) {
      answer.without_proof = true;
    } else {
      answer.original = offset_of(last.record.where);
    }
  } else if (equal && !facts.dup) {
    client.repeats_without_dup = true;
  }
  // A copy stands for its original, so that a copy of a copy names the first of them.
  remember(client, facts, answer.original.value_or(offset), log_time);
  return answer;
}

void MqttMemory::remember(Client& client, const DeliveryFacts& facts, std::int64_t original, TimeUs log_time) const {
  auto at = std::find_if(client.connections.begin(), client.connections.end(),
                         [&](const Connection& connection) { return connection.epoch >= facts.connection_epoch; });
  if (at == client.connections.end() || at->epoch != facts.connection_epoch) {
    at = client.connections.insert(at, Connection{facts.connection_epoch, log_time, {}, 0});
  }
  if (log_time - at->last > limits_.record_age) at->records.clear();
  at->last = log_time;
  trim(*at);
  at->push({pack_what(facts), pack_tick(original, ticks_of(log_time), facts.dup)});
  if (client.connections.size() > limits_.connections_per_client) client.connections.erase(client.connections.begin());
}

// In strides, so that a busy connection does not move its whole history for each record.
void MqttMemory::trim(Connection& connection) const {
  constexpr std::size_t kStride = 128;
  std::vector<Record>& records = connection.records;
  if (records.empty() || records.size() % kStride != 0) return;
  const auto most_ticks = static_cast<std::uint64_t>(limits_.record_age / kTick);
  auto keep = std::find_if(records.begin(), records.end(), [&](const Record& record) {
    return ticks_before(record.where, connection.last) <= most_ticks;
  });
  if (static_cast<std::size_t>(records.end() - keep) > limits_.records_per_connection) {
    keep = records.end() - static_cast<std::ptrdiff_t>(limits_.records_per_connection);
  }
  // Dropping less than a stride is not worth a move.
  if (keep - records.begin() >= static_cast<std::ptrdiff_t>(kStride)) records.erase(records.begin(), keep);
}

void MqttMemory::forget_before(TimeUs log_time) {
  std::erase_if(clients_, [&](const auto& item) { return item.second.last_used < log_time; });
}

// The time runs from the first transmission: a copy is not remembered.
std::optional<std::int64_t> CoapMemory::seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset,
                                             TimeUs log_time) {
  Publisher& known = publishers_[publisher];
  const TimeUs most = std::max(limits_.coap_confirmable_age, limits_.coap_other_age);
  if (log_time - known.last_used > most) known.records.clear();
  known.last_used = log_time;
  const TimeUs age = facts.coap_confirmable ? limits_.coap_confirmable_age : limits_.coap_other_age;
  const std::uint64_t what = pack_coap(facts);
  for (std::size_t i = known.records.size(); i > 0; --i) {
    const Record& record = known.records[i - 1];
    if (ticks_before(record.where, log_time) > static_cast<std::uint64_t>(age / kTick)) break;
    if (record.what == what) return offset_of(record.where);
  }
  trim(known, log_time);
  known.records.push_back({what, pack_tick(offset, ticks_of(log_time), false)});
  return std::nullopt;
}

// In strides, so that a busy publisher does not move its whole history for each record.
void CoapMemory::trim(Publisher& publisher, TimeUs log_time) const {
  const std::size_t stride = std::min<std::size_t>(128, limits_.coap_records_per_publisher);
  std::vector<Record>& records = publisher.records;
  if (records.empty() || records.size() % stride != 0) return;
  const auto most_ticks = static_cast<std::uint64_t>(limits_.coap_confirmable_age / kTick);
  auto keep = std::find_if(records.begin(), records.end(),
                           [&](const Record& record) { return ticks_before(record.where, log_time) <= most_ticks; });
  if (records.size() >= limits_.coap_records_per_publisher)
    keep = std::max(keep, records.begin() + static_cast<std::ptrdiff_t>(stride));
  records.erase(records.begin(), keep);
}

void CoapMemory::forget_before(TimeUs log_time) {
  std::erase_if(publishers_, [&](const auto& item) { return item.second.last_used < log_time; });
}

}  // namespace millrace::telemetry
