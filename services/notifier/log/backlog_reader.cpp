#include "log/backlog_reader.hpp"

#include <millrace/base/backoff.hpp>

#include "log/event_decoder.hpp"

namespace millrace::notifier {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollTimeout{200};
constexpr milliseconds kAskTimeout{5'000};
// A fetch of the turn before holds up the first one of the next.
constexpr milliseconds kFetchWait{20};
constexpr std::size_t kPrefetchBytes = 4 * 1024 * 1024;
// Records of one turn: a tenant that is far behind keeps the others waiting no longer than this takes.
constexpr int kTurn = 5'000;

}  // namespace

BacklogReader::BacklogReader(const Config& config, Dispatcher& dispatcher, const NotifierMetrics& metrics)
    : config_(config), dispatcher_(dispatcher), metrics_(metrics) {}

BacklogReader::~BacklogReader() = default;

void BacklogReader::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void BacklogReader::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void BacklogReader::run(const std::stop_token& stop) {
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  std::unique_ptr<kafka::Consumer> consumer;
  while (!stop.stop_requested()) {
    const auto job = dispatcher_.wait_backlog(stop);
    if (!job) return;
    if (!consumer) {
      kafka::ConsumerOptions options;
      options.prefetch_bytes = kPrefetchBytes;
      options.fetch_wait = kFetchWait;
      consumer = std::make_unique<kafka::Consumer>(config_.kafka, options);
    }
    // Between two turns nothing is fetched.
    if (read(*consumer, *job, stop) && consumer->assign({}).ok()) {
      backoff.reset();
      continue;
    }
    consumer.reset();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, backoff.next(), [] { return false; });
  }
}

bool BacklogReader::read(kafka::Consumer& consumer, const BacklogJob& job, const std::stop_token& stop) {
  const kafka::TopicPartition where{config_.topics.alerts(), job.partition};
  const std::vector<kafka::Position> from{{where, job.from}};
  if (const Status assigned = consumer.assign(from); !assigned.ok()) return false;
  for (int records = 0; records < kTurn && !stop.stop_requested();) {
    const kafka::Polled polled = consumer.poll(kPollTimeout);
    switch (polled.kind) {
      case kafka::Polled::Kind::kNothing:
        // The partition may have been taken away meanwhile.
        if (!dispatcher_.reach(job, job.from)) return true;
        break;
      case kafka::Polled::Kind::kRecord:
        ++records;
        metrics_.backlog_records.add();
        if (!take(job, polled.record)) return true;
        break;
      case kafka::Polled::Kind::kEndOfPartition:
        if (!dispatcher_.reach(job, polled.position.offset)) return true;
        break;
      case kafka::Polled::Kind::kFault: {
        log_.limited(faults_, observability::Level::kWarn, "reading a backlog",
                     {{"partition", job.partition}, {"tenant", job.tenant}, {"error", polled.message}});
        if (polled.fault == kafka::Fault::kTransient) break;
        const auto marks = consumer.watermarks(where, kAskTimeout);
        if (polled.fault != kafka::Fault::kOffsetOutOfRange || !marks.ok() || marks->low <= job.from) return false;
        log_.error("events of a backlog are not in the log any more",
                   {{"partition", job.partition}, {"tenant", job.tenant}, {"from", job.from}, {"low", marks->low}});
        static_cast<void>(dispatcher_.reach(job, marks->low));
        return false;
      }
    }
  }
  return true;
}

bool BacklogReader::take(const BacklogJob& job, const kafka::Record& record) {
  if (!record.is_tombstone() && record.key().starts_with(job.tenant + "/")) {
    auto event =
        decode_event({record.partition(), record.offset(), record.timestamp_us()}, record.key(), record.value());
    // What cannot be decoded was counted by the first reader.
    if (event.ok()) return dispatcher_.take_backlog(job, std::move(*event));
  }
  return dispatcher_.reach(job, record.offset() + 1);
}

}  // namespace millrace::notifier
