#include "log/progress_store.hpp"

#include <charconv>

#include <millrace/base/time.hpp>
#include <millrace/kafka/consumer.hpp>

#include "millrace/notifier/v1/progress.pb.h"

namespace millrace::notifier {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kWriteTimeout{10'000};
constexpr milliseconds kAskTimeout{5'000};
constexpr milliseconds kReadTimeout{30'000};
constexpr milliseconds kPollTimeout{100};
constexpr std::size_t kPrefetchBytes = 16 * 1024 * 1024;

kafka::ConsumerOptions reading_alone() {
  kafka::ConsumerOptions options;
  options.prefetch_bytes = kPrefetchBytes;
  return options;
}

// A partition that nobody ever read, or whose log is another one than it was.
Result<Saved> begin_fresh(kafka::Consumer& consumer, const kafka::TopicPartition& where, std::int64_t end,
                          std::chrono::seconds max_age) {
  const TimeUs since = now_us() - max_age.count() * kUsPerSecond;
  const auto found = consumer.offsets_at(std::span(&where, 1), since, kAskTimeout);
  if (!found.ok()) return found.error();
  const std::int64_t offset = found->front().offset;
  return Saved{offset == kafka::kOffsetEnd ? end : offset, {}};
}

}  // namespace

std::string encode_progress(const Saved& saved) {
  v1::Progress progress;
  progress.set_next_offset(saved.next_offset);
  for (const Saved::Tenant& one : saved.tenants) {
    v1::TenantProgress& tenant = *progress.add_tenants();
    tenant.set_tenant(one.tenant);
    tenant.set_next_offset(one.next_offset);
    tenant.mutable_open()->Add(one.open.begin(), one.open.end());
  }
  return progress.SerializeAsString();
}

Result<Saved> decode_progress(std::string_view bytes) {
  v1::Progress progress;
  if (!progress.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error{ErrorKind::kCorrupt, "the value is no notifier.v1.Progress"};
  }
  Saved saved{progress.next_offset(), {}};
  for (const v1::TenantProgress& one : progress.tenants()) {
    saved.tenants.push_back({one.tenant(), one.next_offset(), {one.open().begin(), one.open().end()}});
  }
  return saved;
}

ProgressStore::ProgressStore(const Config& config) : config_(config), producer_(config.kafka, kWriteTimeout) {}

std::string ProgressStore::key_of(std::int32_t partition) const {
  return config_.topics.alerts() + "/" + std::to_string(partition);
}

Status ProgressStore::write(const std::function<Progress()>& take) {
  const std::scoped_lock lock(mutex_);
  std::vector<kafka::OutgoingRecord> records;
  for (const auto& [partition, saved] : take()) {
    records.push_back(
        {.topic = config_.topics.notifier_progress(), .key = key_of(partition), .value = encode_progress(saved)});
  }
  if (records.empty()) return {};
  const auto sent = producer_.send(records);
  return sent.ok() ? Status{} : Status{sent.error()};
}

Result<ProgressStore::Progress> ProgressStore::read_kept() {
  const std::string topic = config_.topics.notifier_progress();
  kafka::Consumer consumer(config_.kafka, reading_alone());
  const auto marks = consumer.watermarks({topic, 0}, kAskTimeout);
  if (!marks.ok()) return marks.error();
  Progress kept;
  if (marks->low >= marks->high) return kept;
  const std::vector<kafka::Position> from{{{topic, 0}, marks->low}};
  if (const Status assigned = consumer.assign(from); !assigned.ok()) return assigned.error();
  const std::string prefix = config_.topics.alerts() + "/";
  const auto deadline = std::chrono::steady_clock::now() + kReadTimeout;
  for (std::int64_t next = marks->low; next < marks->high;) {
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{ErrorKind::kUnavailable, topic + " was not read to its end in time"};
    }
    const kafka::Polled polled = consumer.poll(kPollTimeout);
    if (polled.kind == kafka::Polled::Kind::kEndOfPartition) next = polled.position.offset;
    if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient) {
      return Error{ErrorKind::kUnavailable, polled.message};
    }
    if (polled.kind != kafka::Polled::Kind::kRecord) continue;
    next = polled.record.offset() + 1;
    std::string_view key = polled.record.key();
    if (polled.record.is_tombstone() || !key.starts_with(prefix)) continue;
    key.remove_prefix(prefix.size());
    std::int32_t partition = -1;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), partition);
    auto decoded = decode_progress(polled.record.value());
    if (code != std::errc{} || end != key.data() + key.size() || !decoded.ok()) {
      return Error{ErrorKind::kCorrupt,
                   topic + ": the record at offset " + std::to_string(polled.record.offset()) + " makes no sense"};
    }
    kept.insert_or_assign(partition, std::move(*decoded));
  }
  return kept;
}

Result<ProgressStore::Progress> ProgressStore::read(const std::vector<std::int32_t>& partitions) {
  auto kept = read_kept();
  if (!kept.ok()) return kept.error();
  kafka::Consumer consumer(config_.kafka, reading_alone());
  Progress progress;
  for (const std::int32_t partition : partitions) {
    const kafka::TopicPartition where{config_.topics.alerts(), partition};
    const auto marks = consumer.watermarks(where, kAskTimeout);
    if (!marks.ok()) return marks.error();
    const auto found = kept->find(partition);
    const bool fits = found != kept->end() && found->second.next_offset <= marks->high;
    if (fits) {
      if (found->second.next_offset < marks->low) {
        log_.error("events of alerts were deleted before they were read",
                   {{"partition", partition}, {"kept", found->second.next_offset}, {"low", marks->low}});
        found->second.next_offset = marks->low;
      }
      progress.emplace(partition, std::move(found->second));
      continue;
    }
    auto fresh = begin_fresh(consumer, where, marks->high, config_.dispatcher.limits.rules.max_age);
    if (!fresh.ok()) return fresh.error();
    if (found != kept->end()) {
      log_.error("the log of alerts ends before the kept position: it was cut or replaced, and is read anew",
                 {{"partition", partition},
                  {"kept", found->second.next_offset},
                  {"end", marks->high},
                  {"from", fresh->next_offset}});
    }
    progress.emplace(partition, std::move(*fresh));
  }
  return progress;
}

}  // namespace millrace::notifier
