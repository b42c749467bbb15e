#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>

namespace millrace::kafka {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollTimeout{200};
constexpr milliseconds kAskTimeout{5'000};
constexpr milliseconds kProbeTimeout{500};
constexpr std::size_t kPrefetchBytes = 16 * 1024 * 1024;

}  // namespace

struct TopicFollower::Impl {
  void run(const std::stop_token& stop);
  void read(const std::stop_token& stop);
  [[nodiscard]] Status begin(Consumer& consumer);
  void follow(Consumer& consumer, const std::stop_token& stop);
  void reached(std::int32_t partition, std::int64_t next_offset);
  void pause(const std::stop_token& stop, milliseconds how_long);

  Settings settings;
  std::string topic;
  Callbacks callbacks;
  observability::Logger log{"topic_follower"};
  observability::LogLimiter faults;
  std::atomic<bool> ready{false};
  std::atomic<bool> connected{false};
  bool read_before = false;                    // follower's thread, as the following
  std::map<std::int32_t, std::int64_t> ahead;  // partitions whose end, as seen at the beginning, is not reached yet
  bool complete = false;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::jthread reader;
};

void TopicFollower::Impl::pause(const std::stop_token& stop, milliseconds how_long) {
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, how_long, [] { return false; });
}

// Each round reads the topic from its beginning; it ends when the consumer can not go on.
void TopicFollower::Impl::run(const std::stop_token& stop) {
  Backoff backoff(milliseconds{200}, milliseconds{5'000});
  while (!stop.stop_requested()) {
    const auto begin = std::chrono::steady_clock::now();
    try {
      read(stop);
    } catch (const std::exception& fault) {
      log.limited(faults, observability::Level::kError, "the reader of a topic failed",
                  {{"topic", topic}, {"error", fault.what()}});
    }
    connected = false;
    if (std::chrono::steady_clock::now() - begin > std::chrono::minutes(1)) backoff.reset();
    if (!stop.stop_requested()) pause(stop, backoff.next());
  }
}

void TopicFollower::Impl::read(const std::stop_token& stop) {
  ConsumerOptions options;
  options.prefetch_bytes = kPrefetchBytes;
  Consumer consumer(settings, options);
  if (const Status begun = begin(consumer); !begun.ok()) {
    log.limited(faults, observability::Level::kWarn, "a topic cannot be read yet",
                {{"topic", topic}, {"error", begun.error().message}});
    return;
  }
  follow(consumer, stop);
}

Status TopicFollower::Impl::begin(Consumer& consumer) {
  const auto count = consumer.partitions(topic, kAskTimeout);
  if (!count.ok()) return count.error();
  std::vector<Position> from;
  ahead.clear();
  for (std::int32_t partition = 0; partition < *count; ++partition) {
    const auto marks = consumer.watermarks({topic, partition}, kAskTimeout);
    if (!marks.ok()) return marks.error();
    from.push_back({{topic, partition}, marks->low});
    if (marks->low < marks->high) ahead[partition] = marks->high;
  }
  if (const Status assigned = consumer.assign(from); !assigned.ok()) return assigned;
  connected = true;
  complete = false;
  // A second reading must also notice what is gone for good, tombstone and all.
  if (read_before && callbacks.on_again) callbacks.on_again();
  read_before = true;
  reached(-1, 0);
  return {};
}

void TopicFollower::Impl::follow(Consumer& consumer, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Polled polled = consumer.poll(kPollTimeout);
    switch (polled.kind) {
      case Polled::Kind::kNothing:
        // A broker that came back with nothing new says nothing by itself.
        if (!connected) connected = consumer.watermarks({topic, 0}, kProbeTimeout).ok();
        break;
      case Polled::Kind::kRecord:
        connected = true;
        callbacks.on_record(polled.record);
        reached(polled.record.partition(), polled.record.offset() + 1);
        break;
      case Polled::Kind::kEndOfPartition:
        connected = true;
        // A compacted topic may have no record at all just before its end.
        reached(polled.position.where.partition, polled.position.offset);
        break;
      case Polled::Kind::kFault:
        connected = false;
        log.limited(faults, observability::Level::kWarn, "reading a topic",
                    {{"topic", topic}, {"error", polled.message}});
        if (polled.fault != Fault::kTransient) return;  // again from the beginning
        break;
    }
  }
}

void TopicFollower::Impl::reached(std::int32_t partition, std::int64_t next_offset) {
  if (complete) return;
  if (const auto found = ahead.find(partition); found != ahead.end() && next_offset >= found->second) {
    ahead.erase(found);
  }
  if (!ahead.empty()) return;
  complete = true;
  if (callbacks.on_complete) callbacks.on_complete();
  ready = true;
}

TopicFollower::TopicFollower(Settings settings, std::string topic, Callbacks callbacks)
    : impl_(std::make_unique<Impl>()) {
  impl_->settings = std::move(settings);
  impl_->topic = std::move(topic);
  impl_->callbacks = std::move(callbacks);
}

TopicFollower::~TopicFollower() { stop(); }

void TopicFollower::start() {
  impl_->reader = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
}

void TopicFollower::stop() {
  impl_->reader.request_stop();
  if (impl_->reader.joinable()) impl_->reader.join();
}

bool TopicFollower::ready() const { return impl_->ready; }

bool TopicFollower::connected() const { return impl_->connected; }

}  // namespace millrace::kafka
