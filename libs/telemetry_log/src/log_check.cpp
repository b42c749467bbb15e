#include <chrono>
#include <set>

#include <millrace/telemetry_log/log_check.hpp>

namespace millrace::telemetry_log {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAnswer{10'000};   // one question to the broker
constexpr milliseconds kSilence{15'000};  // without a record, the broker counts as away

kafka::ConsumerOptions options_for(kafka::Isolation isolation) {
  kafka::ConsumerOptions options;
  options.isolation = isolation;
  options.fetch_wait = milliseconds{50};
  return options;
}

std::string at(std::int32_t partition) { return "partition " + std::to_string(partition) + ": "; }

}  // namespace

std::optional<std::string> contradiction(const KeptPosition& position, const kafka::Watermarks& log) {
  const std::string next = std::to_string(position.next_offset);
  if (log.high < position.next_offset)
    return at(position.partition) + "the log ends at " + std::to_string(log.high) + ", before the next offset " + next +
           ": it was cut";
  if (log.low > position.next_offset)
    return at(position.partition) + "the log begins at " + std::to_string(log.low) + ", behind the next offset " +
           next + ": records were deleted unread";
  return std::nullopt;
}

Result<std::map<std::int32_t, std::string>> contradictions(const kafka::Settings& settings, const std::string& topic,
                                                           std::span<const KeptPosition> positions) {
  std::map<std::int32_t, std::string> found;
  std::vector<Stretch> stretches;
  {
    kafka::Consumer consumer(settings, options_for(kafka::Isolation::kReadUncommitted));
    for (const KeptPosition& one : positions) {
      auto marks = consumer.watermarks({topic, one.partition}, kAnswer);
      if (!marks) return marks.error();
      if (auto why = contradiction(one, *marks))
        found[one.partition] = *why;
      else if (one.last && marks->low < one.next_offset)
        stretches.push_back({{topic, one.partition}, one.next_offset - 1, one.next_offset});
    }
  }
  const auto check = [&](const kafka::Record& record) {
    for (const KeptPosition& one : positions) {
      if (one.partition != record.partition()) continue;
      telemetry::Batch facts;
      if (!telemetry::decode_facts(record.value(), facts)) facts = {};
      if (record.offset() == one.next_offset - 1 && telemetry::mark_of(record.value(), facts) == *one.last) return;
      found[one.partition] = at(one.partition) + "the record " + std::to_string(one.next_offset - 1) +
                             " is not the one that was read before: the log was cut or replaced";
    }
  };
  const Status read =
      read_stretches(settings, kafka::Isolation::kReadUncommitted, stretches, check, [] { return false; });
  if (!read) return read.error();
  return found;
}

Status read_stretches(const kafka::Settings& settings, kafka::Isolation isolation, std::span<const Stretch> stretches,
                      const std::function<void(const kafka::Record&)>& take, const std::function<bool()>& stop) {
  std::map<kafka::TopicPartition, std::int64_t> ends;
  std::vector<kafka::Position> from;
  for (const Stretch& one : stretches) {
    if (one.from >= one.end) continue;
    ends[one.where] = one.end;
    from.push_back({one.where, one.from});
  }
  if (from.empty()) return {};
  kafka::ConsumerOptions options = options_for(isolation);
  // Alerts of one rule resemble each other and shrink to a fiftieth: a larger fetch would unpack to hundreds of
  // megabytes.
  options.fetch_bytes = 128 * 1024;
  kafka::Consumer consumer(settings, options);
  if (auto assigned = consumer.assign(from); !assigned) return assigned;
  // A partition is done when its end is reached; it may hold no record just before it (compaction, transactions).
  const auto reached = [&](const kafka::TopicPartition& where, std::int64_t next) {
    const auto open = ends.find(where);
    if (open != ends.end() && next >= open->second) {
      ends.erase(open);
      static_cast<void>(consumer.pause(std::span(&where, 1)));  // what still comes is ignored
    }
  };
  auto progress = steady_clock::now();
  while (!ends.empty()) {
    if (stop()) return Error{ErrorKind::kUnavailable, "given up: the service stops"};
    const kafka::Polled polled = consumer.poll(milliseconds{100});
    switch (polled.kind) {
      case kafka::Polled::Kind::kRecord: {
        progress = steady_clock::now();
        const kafka::TopicPartition where{std::string(polled.record.topic()), polled.record.partition()};
        const auto open = ends.find(where);
        if (open == ends.end()) break;
        if (polled.record.offset() < open->second) take(polled.record);
        reached(where, polled.record.offset() + 1);
        break;
      }
      case kafka::Polled::Kind::kEndOfPartition:
        progress = steady_clock::now();
        reached(polled.position.where, polled.position.offset);
        break;
      case kafka::Polled::Kind::kFault:
        if (polled.fault == kafka::Fault::kTransient) break;
        return Error{ErrorKind::kUnavailable, "the log moved while it was read: " + polled.message};
      case kafka::Polled::Kind::kNothing:
        break;
    }
    if (steady_clock::now() - progress > kSilence) return Error{ErrorKind::kUnavailable, "Kafka gives no records"};
  }
  return {};
}

}  // namespace millrace::telemetry_log
