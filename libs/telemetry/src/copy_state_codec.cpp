// How the four memories of the copy rules stand in bytes. What no later answer can depend on is left out, and maps are
// written in the order of their keys, so that equal memories give equal bytes.
#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "copy_codec.hpp"
#include "copy_packing.hpp"
#include "copy_state.hpp"

namespace millrace::telemetry {
namespace {

template <typename Map>
auto by_key(const Map& map) {
  std::vector<std::pair<std::uint64_t, const typename Map::mapped_type*>> order;
  order.reserve(map.size());
  for (const auto& [key, value] : map) order.emplace_back(key, &value);
  std::sort(order.begin(), order.end());
  return order;
}

template <typename Map>
void save_map(StateWriter& out, const Map& map, const auto& save_one) {
  out.varint(map.size());
  for (const auto& [key, one] : by_key(map)) {
    if (out.full()) return;
    out.fixed64(key);
    save_one(*one);
  }
}

template <typename Map>
void load_map(StateReader& in, std::string_view what, Map& map, const auto& load_one) {
  constexpr std::size_t kLeast = 8 + 1 + 1;  // key, age, a count
  const std::size_t count = in.count(what, SIZE_MAX, kLeast);
  map.reserve(count);
  std::uint64_t previous = 0;
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    const std::uint64_t key = in.fixed64();
    if (i > 0 && key <= previous) in.fail(std::string(what) + " are not in order");
    previous = key;
    load_one(map[key]);
  }
}

}  // namespace

void CounterMemory::save(StateWriter& out, TimeUs log_time) const {
  out.varint(starts_.size());
  for (const Start& start : starts_) {
    if (out.full()) return;
    out.bytes({reinterpret_cast<const char*>(start.id.data()), start.id.size()});
    out.varint(start.highest);
    out.varint(static_cast<std::uint64_t>(log_time - start.last_used));
    save_ring(out, start);
  }
}

// From the lowest counter to the highest, which in a log come nearly in order: a byte each. 0 and a length stand for
// counters not seen, everything else is the difference to the offset before, plus 1.
void CounterMemory::save_ring(StateWriter& out, const Start& start) {
  const std::size_t size = start.offsets.size();
  out.varint(size);
  std::int64_t previous = 0;
  std::uint64_t unseen = 0;
  const auto end_run = [&] {
    if (unseen == 0) return;
    out.varint(0);
    out.varint(std::exchange(unseen, 0));
  };
  for (std::size_t i = 1; i <= size; ++i) {
    const std::int64_t offset = start.offsets[(start.highest + i) & (size - 1)];
    if (offset < 0) {
      ++unseen;
      continue;
    }
    end_run();
    const std::int64_t step = offset - std::exchange(previous, offset);
    out.varint((step < 0 ? static_cast<std::uint64_t>(-step) * 2 - 1 : static_cast<std::uint64_t>(step) * 2) + 1);
  }
  end_run();
}

void CounterMemory::load(StateReader& in, const StateFrame& frame) {
  const std::size_t count = in.count("gateway starts", limits_.starts, sizeof(StartId) + 3);
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    Start& start = starts_.emplace_back();
    const std::string_view id = in.bytes(start.id.size());
    std::copy(id.begin(), id.end(), start.id.begin());
    start.highest = in.varint();
    start.last_used = in.time(frame.log_time);
    load_ring(in, start, frame);
  }
}

void CounterMemory::load_ring(StateReader& in, Start& start, const StateFrame& frame) const {
  const std::uint64_t size = in.varint_most("counters", limits_.counter_window);
  if (in.failed() || size == 0) return;
  if (!std::has_single_bit(size)) return in.fail("the number of counters is not a power of two");
  start.offsets.assign(size, -1);
  std::int64_t previous = 0;
  for (std::uint64_t i = 1; i <= size && !in.failed(); ++i) {
    const std::uint64_t step = in.varint();
    if (step == 0) {
      const std::uint64_t unseen = in.varint_most("counters not seen", size - i + 1);
      if (unseen == 0) in.fail("an empty run of counters");
      i += unseen - 1;
      continue;
    }
    const std::uint64_t distance = step / 2;
    const std::uint64_t offset = static_cast<std::uint64_t>(previous) + (step % 2 == 0 ? ~distance + 1 : distance);
    if (offset >= static_cast<std::uint64_t>(frame.next)) return in.fail("an offset is not before the state's own");
    previous = static_cast<std::int64_t>(offset);
    start.offsets[(start.highest + i) & (size - 1)] = previous;
  }
}

void IdMemory::save(StateWriter& out, TimeUs log_time) const {
  const auto most_hours = static_cast<std::uint64_t>(limits_.id_age / kHour);
  save_map(out, publishers_, [&](const Publisher& one) { one.save(out, log_time, most_hours); });
}

// Ids that are too old already go: they are the oldest, which later ids would overwrite first.
void IdMemory::Publisher::save(StateWriter& out, TimeUs log_time, std::uint64_t most_hours) const {
  const std::uint64_t now_hour = hour_of(log_time);
  const auto alive = [&](const Entry& entry) { return hours_before(entry.where, now_hour) <= most_hours; };
  out.varint(static_cast<std::uint64_t>(log_time - last_used));
  out.varint(static_cast<std::uint64_t>(std::count_if(ring.begin(), ring.end(), alive)));
  std::int64_t previous = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Entry& entry = ring[(next + i) % ring.size()];
    if (!alive(entry)) continue;
    out.fixed64(entry.id);
    out.fixed64(entry.payload);
    const auto offset = static_cast<std::int64_t>(entry.where >> kHourBits);
    out.zigzag(offset - std::exchange(previous, offset));
    out.varint(hours_before(entry.where, now_hour));
  }
}

void IdMemory::load(StateReader& in, const StateFrame& frame) {
  load_map(in, "publishers of ids", publishers_, [&](Publisher& one) { one.load(in, frame, limits_); });
}

void IdMemory::Publisher::load(StateReader& in, const StateFrame& frame, const CopyLimits& limits) {
  const std::uint64_t now_hour = hour_of(frame.log_time);
  last_used = in.time(frame.log_time);
  ring.resize(in.count("ids of a publisher", limits.ids_per_publisher, 8 + 8 + 1 + 1));
  std::int64_t previous = 0;
  for (Entry& entry : ring) {
    if (in.failed()) return;
    entry.id = in.fixed64();
    entry.payload = in.fixed64();
    const std::int64_t offset = in.offset(previous, frame.next);
    const std::uint64_t age = in.varint_most("hours of an id", static_cast<std::uint64_t>(limits.id_age / kHour));
    entry.where = pack_hour(offset, now_hour - age);
  }
}

void MqttMemory::save(StateWriter& out, TimeUs log_time) const {
  save_map(out, clients_, [&](const Client& one) { one.save(out, log_time, limits_); });
}

void MqttMemory::Client::save(StateWriter& out, TimeUs log_time, const CopyLimits& limits) const {
  out.varint(static_cast<std::uint64_t>(log_time - last_used));
  out.varint((connections.size() << 1) | (repeats_without_dup ? 1U : 0U));
  std::uint64_t epoch = 0;
  std::int64_t offset = 0;
  for (const Connection& connection : connections) {
    out.varint(connection.epoch - std::exchange(epoch, connection.epoch));
    out.varint(static_cast<std::uint64_t>(log_time - connection.last));
    connection.save(out, offset, limits);
  }
}

// Only those that last_with_packet_id() looks at.
void MqttMemory::Connection::save(StateWriter& out, std::int64_t& offset, const CopyLimits& limits) const {
  const auto most_ticks = static_cast<std::uint64_t>(limits.record_age / kTick);
  const auto most = static_cast<std::ptrdiff_t>(std::min(records.size(), limits.records_per_connection));
  const auto begin = std::find_if(records.end() - most, records.end(),
                                  [&](const Record& record) { return ticks_before(record.where, last) <= most_ticks; });
  out.varint(static_cast<std::uint64_t>(records.end() - begin));
  for (auto record = begin; record != records.end(); ++record) {
    const std::int64_t at = offset_of(record->where);
    out.fixed64(record->what);
    out.zigzag(at - std::exchange(offset, at));
    out.varint((ticks_before(record->where, last) << 1) | (dup_of(record->where) ? 1U : 0U));
  }
}

void MqttMemory::load(StateReader& in, const StateFrame& frame) {
  load_map(in, "MQTT clients", clients_, [&](Client& one) { one.load(in, frame, limits_); });
}

void MqttMemory::Client::load(StateReader& in, const StateFrame& frame, const CopyLimits& limits) {
  last_used = in.time(frame.log_time);
  const std::uint64_t head = in.varint_most("connections of a client", limits.connections_per_client * 2 + 1);
  repeats_without_dup = (head & 1U) != 0;
  connections.reserve(head >> 1);
  std::uint64_t epoch = 0;
  std::int64_t offset = 0;
  for (std::uint64_t i = 0; i < head >> 1 && !in.failed(); ++i) {
    const std::uint64_t step = in.varint();
    if (i > 0 && (step == 0 || step > ~epoch)) return in.fail("the connections of a client are not in order");
    epoch += step;
    Connection& connection = connections.emplace_back();
    connection.epoch = epoch;
    connection.last = in.time(frame.log_time);
    connection.load(in, offset, frame, limits);
  }
}

void MqttMemory::Connection::load(StateReader& in, std::int64_t& offset, const StateFrame& frame,
                                  const CopyLimits& limits) {
  const std::size_t count = in.count("records of a connection", limits.records_per_connection, 8 + 1 + 1);
  records.reserve(count);
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    const std::uint64_t what = in.fixed64();
    const std::int64_t at = in.offset(offset, frame.next);
    const std::uint64_t age = in.varint_most("the age of a record", kTickMask * 2 + 1);
    push({what, pack_tick(at, ticks_of(last) - (age >> 1), (age & 1U) != 0)});
  }
}

void CoapMemory::save(StateWriter& out, TimeUs log_time) const {
  save_map(out, publishers_, [&](const Publisher& one) { one.save(out, log_time); });
}

// All of them: how many there are decides when the oldest go.
void CoapMemory::Publisher::save(StateWriter& out, TimeUs log_time) const {
  out.varint(static_cast<std::uint64_t>(log_time - last_used));
  out.varint(records.size());
  std::int64_t offset = 0;
  for (const Record& record : records) {
    const std::int64_t at = offset_of(record.where);
    out.fixed64(record.what);
    out.zigzag(at - std::exchange(offset, at));
    out.varint(ticks_before(record.where, log_time));
  }
}

void CoapMemory::load(StateReader& in, const StateFrame& frame) {
  load_map(in, "CoAP publishers", publishers_, [&](Publisher& one) { one.load(in, frame, limits_); });
}

void CoapMemory::Publisher::load(StateReader& in, const StateFrame& frame, const CopyLimits& limits) {
  constexpr std::size_t kStride = 128;  // trim() lets a publisher have as many more
  last_used = in.time(frame.log_time);
  records.resize(in.count("CoAP records of a publisher", limits.coap_records_per_publisher + kStride, 8 + 1 + 1));
  std::int64_t offset = 0;
  for (Record& record : records) {
    if (in.failed()) return;
    record.what = in.fixed64();
    const std::int64_t at = in.offset(offset, frame.next);
    const std::uint64_t age = in.varint_most("the age of a record", kTickMask);
    record.where = pack_tick(at, ticks_of(frame.log_time) - age, false);
  }
}

}  // namespace millrace::telemetry
