#include "log/log_opener.hpp"

#include <algorithm>
#include <unordered_set>

#include <millrace/telemetry_log/log_check.hpp>

#include "copies/copy_states.hpp"

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswer{10'000};  // one question to the broker
// Records behind a saved state that are read again, of one partition: half a minute or so. The state is saved before
// there are as many, so this is a writer that could not save it, or one of an older version.
constexpr std::int64_t kMostBehind = 10'000'000;

// Keeps one entry for each series.
void remove_repeated(std::vector<NamedSeries>& series) {
  std::unordered_set<std::uint64_t> seen;
  std::erase_if(series, [&](const NamedSeries& one) {
    return !seen.insert((static_cast<std::uint64_t>(static_cast<std::uint32_t>(one.device)) << 32) | one.metric).second;
  });
}

std::string missing(std::int32_t partition, std::int64_t first, std::int64_t last) {
  return "partition " + std::to_string(partition) + ": the records " + std::to_string(first) + " to " +
         std::to_string(last) + " are missing in the log";
}

}  // namespace

kafka::ConsumerOptions LogOpener::consumer_options() const {
  kafka::ConsumerOptions options;
  options.isolation = kafka::Isolation::kReadUncommitted;  // `telemetry` is never transactional
  options.prefetch_bytes = config_.prefetch_bytes;
  options.fetch_wait = milliseconds{50};
  return options;
}

Result<LogOpener::Opened> LogOpener::open(std::span<const std::int32_t> partitions,
                                          const std::function<bool()>& is_void) {
  if (auto connected = store_.connect(); !connected) return connected.error();
  kafka::Consumer consumer(config_.kafka, consumer_options());
  auto cluster = consumer.cluster_id(kAnswer);
  if (!cluster) return cluster.error();
  const std::string topic = config_.topics.telemetry();
  std::map<std::int32_t, kafka::Watermarks> logs;
  for (const std::int32_t partition : partitions) {
    auto marks = consumer.watermarks({topic, partition}, kAnswer);
    if (!marks) return marks.error();
    logs[partition] = *marks;
  }
  auto rows = offset_rows(partitions, *cluster, logs);
  if (!rows) return rows.error();

  Opened opened;
  std::map<std::int32_t, Replay> todo;
  const auto most = static_cast<std::int64_t>(config_.copy_records / std::max<std::size_t>(1, partitions.size()));
  for (const std::int32_t partition : partitions) {
    const OffsetRow& row = rows->at(partition);
    PartitionState& state = opened.partitions[partition];
    state.generation = row.generation;
    state.next_offset = row.next_offset;
    state.last = row.last;
    opened.opening.partitions[partition] = {row.generation, row.generation_from, row.next_offset, row.latest_offset,
                                            row.log_time};
    state.stopped = contradiction(partition, row, *cluster, logs[partition]);
    if (state.stopped) continue;
    if (auto loaded = load_copies(partition, row, logs[partition], state); !loaded) return loaded.error();
    auto begin = begin_of(consumer, partition, row, logs[partition], {state.saved.offset, most});
    if (!begin) return begin.error();
    Replay part;
    part.next = *begin;
    part.end = row.next_offset;
    part.series_from = row.latest_offset;
    // What retention removed cannot be compared.
    if (row.last && row.next_offset > logs[partition].low) part.expected = row.last;
    if (part.next < part.end) todo[partition] = part;
  }
  if (auto done = replay(std::move(todo), opened, is_void); !done) return done.error();
  remove_repeated(opened.opening.touched);
  std::erase_if(opened.opening.partitions,
                [&](const auto& one) { return opened.partitions.at(one.first).stopped.has_value(); });
  return opened;
}

// The state that the last writer of the partition saved, where it is one for this position and this log.
Status LogOpener::load_copies(std::int32_t partition, const OffsetRow& row, const kafka::Watermarks& log,
                              PartitionState& state) {
  const std::string topic = config_.topics.telemetry();
  auto row_of = read_copy_state(store_.connection(), topic, partition);
  if (!row_of) return row_of.error();
  const std::optional<CopyStateRow>& saved = *row_of;
  if (!saved || saved->generation != row.generation) return {};
  std::string why;
  if (saved->offset > saved->position) {
    why = "it is of offset " + std::to_string(saved->offset) + ", the partition is stored up to " +
          std::to_string(saved->position);
  } else if (saved->offset > row.next_offset) {
    return {};  // another writer goes on with the partition, and will fence this one
  } else if (row.next_offset - saved->offset > kMostBehind) {
    why = "it is " + std::to_string(row.next_offset - saved->offset) + " records behind";
  } else if (saved->offset < log.low) {
    why = "the records from " + std::to_string(saved->offset) + " to " + std::to_string(log.low - 1) +
          " have left the log";
  } else if (auto rules = telemetry::CopyRules::load(saved->bytes); !rules) {
    why = rules.error().message;
  } else if (rules->next_offset() != saved->offset) {
    why = "it says offset " + std::to_string(rules->next_offset()) + ", its row " + std::to_string(saved->offset);
  } else {
    state.rules = std::move(*rules);
    state.saved = {saved->offset, saved->bytes.size(), std::chrono::steady_clock::now()};
    return {};
  }
  metrics_.copy_states_unusable.add();
  log_.warn("the saved state of the copy rules is of no use; the log is read instead",
            {{"partition", partition}, {"reason", why}});
  return discard_copy_state(store_.connection(), topic, *saved);
}

// Where reading again begins: at the state, or without one the configured time and number before the position.
Result<std::int64_t> LogOpener::begin_of(kafka::Consumer& consumer, std::int32_t partition, const OffsetRow& row,
                                         const kafka::Watermarks& log, const CopiesFrom& copies) {
  if (copies.saved_offset >= 0) return replay_begin(row, log, copies.saved_offset, row.next_offset);
  const kafka::TopicPartition where{config_.topics.telemetry(), partition};
  const TimeUs window = std::chrono::duration_cast<std::chrono::microseconds>(config_.copy_window).count();
  auto begin = consumer.offsets_at(std::span(&where, 1), std::max<TimeUs>(0, row.log_time - window), kAnswer);
  if (!begin) return begin.error();
  const std::int64_t by_time = begin->empty() || (*begin)[0].offset < 0 ? row.next_offset : (*begin)[0].offset;
  return replay_begin(row, log, by_time, copies.most_records);
}

Result<std::map<std::int32_t, OffsetRow>> LogOpener::offset_rows(
    std::span<const std::int32_t> partitions, std::string_view cluster_id,
    const std::map<std::int32_t, kafka::Watermarks>& logs) {
  auto rows = store_.offsets();
  if (!rows) return rows.error();
  bool created = false;
  for (const std::int32_t partition : partitions) {
    if (rows->contains(partition)) continue;
    if (auto made = store_.create_offset(partition, logs.at(partition).low, cluster_id); !made) return made.error();
    created = true;
  }
  if (!created) return rows;
  rows = store_.offsets();
  if (!rows) return rows.error();
  for (const std::int32_t partition : partitions) {
    if (!rows->contains(partition)) return Error{ErrorKind::kInternal, "storage.ingest_offset did not keep a row"};
  }
  return rows;
}

Status LogOpener::replay(std::map<std::int32_t, Replay> todo, Opened& opened, const std::function<bool()>& is_void) {
  std::vector<telemetry_log::Stretch> stretches;
  for (const auto& [partition, part] : todo)
    stretches.push_back({{config_.topics.telemetry(), partition}, part.next, part.end});
  const auto take = [&](const kafka::Record& record) { replay_record(record, todo.at(record.partition()), opened); };
  auto read =
      telemetry_log::read_stretches(config_.kafka, kafka::Isolation::kReadUncommitted, stretches, take, is_void);
  if (!read) return read;
  for (const auto& [partition, part] : todo) {
    PartitionState& state = opened.partitions[partition];
    if (!state.stopped && part.next < part.end)
      state.stopped = missing(partition, part.next, part.end - 1) + how_to_go_on(partition);
  }
  return {};
}

void LogOpener::replay_record(const kafka::Record& record, Replay& part, Opened& opened) {
  PartitionState& state = opened.partitions[record.partition()];
  if (state.stopped || record.offset() < part.next) return;
  if (record.offset() > part.next) {
    state.stopped = missing(record.partition(), part.next, record.offset() - 1) + how_to_go_on(record.partition());
    return;
  }
  part.next = record.offset() + 1;
  telemetry::Batch facts;
  const Status decoded = telemetry::decode_facts(record.value(), facts);
  if (!decoded) facts = {};
  if (part.next == part.end && part.expected && mark_of(record.value(), facts) != *part.expected) {
    state.stopped = "partition " + std::to_string(record.partition()) + ": the record " +
                    std::to_string(record.offset()) + " is not the one that was stored: the log was cut or replaced" +
                    how_to_go_on(record.partition());
    return;
  }
  if (!decoded || facts.device_key <= 0) return;
  const auto verdict = state.rules.judge(record.offset(), record.timestamp_us(), facts);
  if (record.offset() < part.series_from || verdict.is_copy()) return;
  // A record that cannot be decoded was a dead letter the first time, too.
  static_cast<void>(taker_.series_of(record, opened.opening.touched));
  if (opened.opening.touched.size() > 1'000'000) remove_repeated(opened.opening.touched);
}

Status LogOpener::verify(std::map<std::int32_t, PartitionState>& partitions) {
  std::vector<telemetry_log::KeptPosition> positions;
  for (const auto& [partition, state] : partitions) {
    if (!state.stopped) positions.push_back({partition, state.next_offset, state.last});
  }
  const auto found = telemetry_log::contradictions(config_.kafka, config_.topics.telemetry(), positions);
  if (!found) return found.error();
  for (const auto& [partition, why] : *found) partitions.at(partition).stopped = why + how_to_go_on(partition);
  return {};
}

}  // namespace millrace::writer
