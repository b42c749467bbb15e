#include "log/reader_pool.hpp"

#include <algorithm>

namespace millrace::query_api {
namespace {

using std::chrono::milliseconds;
constexpr int kMostAlong = 1'000;

kafka::ConsumerOptions reader_options() {
  kafka::ConsumerOptions options;
  options.prefetch_bytes = 4 << 20;
  options.fetch_wait = milliseconds{20};
  return options;
}

Error no_answer() { return {ErrorKind::kUnavailable, "Kafka does not answer in time; try again later"}; }

/// A client calls a partition unknown whose leader is being chosen: how many there are decides.
Error without_marks(kafka::Consumer& reader, const kafka::TopicPartition& where, const Error& error,
                    SteadyTime deadline) {
  if (error.kind != ErrorKind::kNotFound) return error;
  const auto partitions = reader.partitions(where.topic, time_left(deadline));
  if (partitions.ok() && where.partition >= partitions.value()) return error;
  return {ErrorKind::kUnavailable, error.message + "; try again later"};
}

}  // namespace

milliseconds time_left(SteadyTime deadline, milliseconds most) {
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::clamp(left, milliseconds{1}, most);
}

LogReaders::LogReaders(kafka::Settings settings, std::size_t readers)
    : settings_(std::move(settings)), left_(readers) {}
LogReaders::~LogReaders() = default;

Result<std::shared_ptr<kafka::Consumer>> LogReaders::lend(SteadyTime deadline) {
  std::unique_lock lock(mutex_);
  if (!free_.wait_until(lock, deadline, [this] { return !idle_.empty() || left_ > 0; })) {
    return Error{ErrorKind::kThrottled, "all readers of the log are busy; try again later"};
  }
  std::unique_ptr<kafka::Consumer> consumer;
  if (!idle_.empty()) {
    consumer = std::move(idle_.back());
    idle_.pop_back();
  } else {
    --left_;
    lock.unlock();
    consumer = std::make_unique<kafka::Consumer>(settings_, reader_options());
  }
  return std::shared_ptr<kafka::Consumer>(
      consumer.release(), [this](kafka::Consumer* done) { give_back(std::unique_ptr<kafka::Consumer>(done)); });
}

void LogReaders::give_back(std::unique_ptr<kafka::Consumer> consumer) {
  // A consumer that cannot forget its assignment is replaced by a new one.
  const bool reusable = consumer->assign({}).ok();
  if (!reusable) consumer.reset();
  const std::lock_guard lock(mutex_);
  if (consumer != nullptr) {
    idle_.push_back(std::move(consumer));
  } else {
    ++left_;
  }
  free_.notify_one();
}

Result<Fetched> LogReaders::fetch(const kafka::TopicPartition& where, std::int64_t offset, SteadyTime deadline,
                                  const std::function<void(const kafka::Record&)>& also) {
  auto consumer = lend(deadline);
  if (!consumer.ok()) return consumer.error();
  kafka::Consumer& reader = **consumer;
  const auto log = reader.watermarks(where, time_left(deadline));
  if (!log.ok()) return without_marks(reader, where, log.error(), deadline);
  Fetched fetched{.log = log.value(), .record = {}};
  if (offset < fetched.log.low || offset >= fetched.log.high) return fetched;
  const kafka::Position start{where, offset};
  if (const Status assigned = reader.assign({&start, 1}); !assigned.ok()) return assigned.error();
  while (std::chrono::steady_clock::now() < deadline) {
    kafka::Polled polled = reader.poll(time_left(deadline, milliseconds{200}));
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      if (polled.record.offset() == offset) fetched.record = std::move(polled.record);
      if (also) {
        for (int i = 0; i < kMostAlong; ++i) {
          const kafka::Polled next = reader.poll(milliseconds{0});
          if (next.kind != kafka::Polled::Kind::kRecord) break;
          also(next.record);
        }
      }
      return fetched;
    }
    if (polled.kind == kafka::Polled::Kind::kEndOfPartition) {
      // Behind the offset: a hole. Before it: the broker is not where it was a moment ago.
      if (polled.position.offset > offset) return fetched;
      return no_answer();
    }
    if (polled.kind == kafka::Polled::Kind::kFault && polled.fault == kafka::Fault::kOffsetOutOfRange) return fetched;
    if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient) {
      return Error{ErrorKind::kUnavailable, "the log cannot be read: " + polled.message};
    }
  }
  return no_answer();
}

}  // namespace millrace::query_api
