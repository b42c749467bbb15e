#include "log/partition_state.hpp"

#include <algorithm>
#include <utility>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/kafka/dead_letter.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::writer {

std::int64_t replay_begin(const OffsetRow& row, const kafka::Watermarks& log, std::int64_t window_begin,
                          std::int64_t max_records) {
  std::int64_t begin = std::max(std::min(window_begin, row.next_offset), row.next_offset - max_records);
  begin = std::min(begin, row.latest_offset);
  if (row.last) begin = std::min(begin, row.next_offset - 1);
  return std::clamp(begin, std::min(log.low, row.next_offset), row.next_offset);
}

void RecordTaker::take(kafka::Record record, PartitionState& state, Batch& batch) {
  const std::int64_t offset = record.offset();
  if (state.stopped || offset < state.next_offset) return;
  if (offset > state.next_offset) {
    state.stopped = "partition " + std::to_string(record.partition()) + ": the records " +
                    std::to_string(state.next_offset) + " to " + std::to_string(offset - 1) +
                    " are missing in the log" + how_to_go_on(record.partition());
    return;
  }
  const Status decoded = codec_.decode(record.value(), message_);
  // A later start judges by the facts alone: so does this one, where the points are damaged.
  const bool has_facts = decoded.ok() || telemetry::decode_facts(record.value(), message_).ok();
  if (!has_facts) message_ = {};
  if (has_facts) state.stopped = contradicted_device();
  if (state.stopped) {
    state.stopped = "partition " + std::to_string(record.partition()) + ", record " + std::to_string(offset) + ": " +
                    *state.stopped;
    return;
  }
  Slice& slice = batch.slices[record.partition()];
  if (slice.records.empty()) {
    if (batch.slices.size() == 1) batch.first = std::chrono::steady_clock::now();
    slice.generation = state.generation;
    slice.begin = offset;
  }
  telemetry::CopyVerdict verdict;
  if (has_facts && message_.device_key > 0) verdict = state.rules.judge(offset, record.timestamp_us(), message_);
  if (verdict.is_copy()) {
    slice.copies.push_back({offset, verdict.original, static_cast<std::int16_t>(verdict.rule)});
  } else if (const Status readable = check_points(decoded, record, slice); readable) {
    add_rows(record, state.rules.log_time(), batch);
  } else {
    const auto key = parse_record_key(record.key());
    slice.dead.push_back({offset,
                          {},
                          readable.error().message,
                          key ? std::string(key->first) : std::string{},
                          key ? std::string(key->second) : std::string{},
                          -1,
                          -1});
  }
  slice.awaited = slice.awaited || message_.answer_when_stored;
  state.last = mark_of(record.value(), message_);
  state.next_offset = offset + 1;
  slice.end = state.next_offset;
  slice.last = *state.last;
  slice.log_time = state.rules.log_time();
  Batch::count_hour(slice, offset, slice.log_time);
  // What a record holds in librdkafka beyond its bytes.
  constexpr std::size_t kOverhead = 200;
  batch.bytes += record.value().size() + record.key().size() + kOverhead;
  slice.records.push_back(std::move(record));
}

std::optional<std::string> RecordTaker::contradicted_device() {
  if (!check_) return std::nullopt;
  const std::uint64_t hash = hash64(message_.device, hash64(message_.tenant));
  const auto found = checked_.find(message_.device_key);
  if (found != checked_.end() && found->second == hash) return std::nullopt;
  if (auto why = check_(message_.device_key, message_.tenant, message_.device)) return why;
  constexpr std::size_t kMost = 4'000'000;
  if (checked_.size() >= kMost) checked_.clear();
  checked_[message_.device_key] = hash;
  return std::nullopt;
}

// Whether rows can be made of message_; notes a replay.
Status RecordTaker::check_points(const Status& decoded, const kafka::Record& record, Slice& slice) {
  if (!decoded) return decoded;
  if (message_.device_key <= 0) return Error{ErrorKind::kInvalid, "the record has no device key"};
  untimed_.clear();
  if (!message_.replay) return {};
  const auto source = telemetry::parse_receipt(message_.replay->source);
  if (!source) return source.error();
  // All records of a device lie in one partition, in the order of their offsets.
  if (!source->dead && source->partition != record.partition()) {
    return Error{ErrorKind::kInvalid, "the replay of a record of another partition"};
  }
  if (const auto header = record.header(kafka::dead_letter::kUntimed)) {
    auto untimed = kafka::dead_letter::parse_indexes(*header);
    if (!untimed) return untimed.error();
    untimed_ = std::move(*untimed);
  }
  slice.replays.push_back({record.offset(), *source});
  return {};
}

void RecordTaker::add_rows(const kafka::Record& record, TimeUs log_time, Batch& batch) {
  std::int32_t index = 0;
  for (const telemetry::Point& point : message_.points) {
    const auto given = telemetry::device_time(message_, point);
    Row row;
    row.device = message_.device_key;
    row.metric = names_.index_of(message_.tenant, point.metric, storage_schema::type_of(point.value));
    row.time = given ? *given : message_.ingest_time + index;
    row.timed = given && std::find(untimed_.begin(), untimed_.end(), index) == untimed_.end();
    row.replayed = message_.replay.has_value();
    row.cell = storage_schema::cell_of(point.value);
    row.partition = record.partition();
    row.offset = record.offset();
    row.index = index++;
    row.log_time = log_time;
    batch.rows.push_back(std::move(row));
  }
}

Status RecordTaker::series_of(const kafka::Record& record, std::vector<NamedSeries>& out) {
  if (auto decoded = codec_.decode(record.value(), message_); !decoded) return decoded;
  for (const telemetry::Point& point : message_.points) {
    out.push_back({message_.device_key,
                   names_.index_of(message_.tenant, point.metric, storage_schema::type_of(point.value)),
                   record.partition()});
  }
  return {};
}

}  // namespace millrace::writer
