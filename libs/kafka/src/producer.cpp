#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include <millrace/kafka/producer.hpp>

#include "handles.hpp"

namespace millrace::kafka {

namespace {

Delivery delivery_of(const rd_kafka_message_t& message) {
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) return Delivery::kPersisted;
  switch (rd_kafka_message_status(&message)) {
    case RD_KAFKA_MSG_STATUS_NOT_PERSISTED:
      return Delivery::kNotPersisted;
    case RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED:
    case RD_KAFKA_MSG_STATUS_PERSISTED:
      // Persisted with an error beside it (a duplicate sequence whose offset is gone): the coordinate is not known.
      return Delivery::kPossibly;
  }
  return Delivery::kPossibly;
}

DeliveryReport report_of(const rd_kafka_message_t& message) {
  DeliveryReport report;
  report.opaque = message._private;
  report.partition = message.partition;
  report.delivery = delivery_of(message);
  if (report.delivery == Delivery::kPersisted) {
    report.offset = message.offset;
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time_ms = rd_kafka_message_timestamp(&message, &type);
    if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME && time_ms > 0) report.broker_time_us = time_ms * 1000;
  } else {
    const ErrorKind kind = kind_of(message.err);
    report.reason = kind == ErrorKind::kTooLarge || kind == ErrorKind::kInvalid ? kind : ErrorKind::kUnavailable;
  }
  return report;
}

std::string milliseconds_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

}  // namespace

struct Producer::Impl {
  ClientHandle client;
  TopicHandle topic;
  QueueHandle queue;
  std::string topic_name;
  std::size_t max_record_bytes = 0;
  OnReports on_reports;
  OnFatal on_fatal;
  std::atomic<std::size_t> handed_over{0};
  std::atomic<std::size_t> reported{0};
  std::atomic<bool> fatal{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<DeliveryReport> reports;  // of the serving thread
  std::jthread thread;

  void serve(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const EventHandle event(rd_kafka_queue_poll(queue.get(), 1000));
      if (event == nullptr) continue;
      switch (rd_kafka_event_type(event.get())) {
        case RD_KAFKA_EVENT_DR:
          deliver(event.get());
          break;
        case RD_KAFKA_EVENT_ERROR:
          if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__FATAL) announce_fatal();
          break;
        default:
          break;
      }
    }
  }

  void deliver(rd_kafka_event_t* event) {
    reports.clear();
    const bool broken = rd_kafka_fatal_error(client.get(), nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
    std::size_t withheld = 0;
    while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
      DeliveryReport report = report_of(*message);
      // librdkafka fails everything that is queued when the producer dies: that says nothing about the record.
      if (broken && report.delivery != Delivery::kPersisted) {
        ++withheld;
        continue;
      }
      reports.push_back(report);
    }
    if (!reports.empty()) {
      on_reports(reports);
      {
        const std::lock_guard lock(mutex);
        reported.fetch_add(reports.size(), std::memory_order_release);
      }
      changed.notify_all();
    }
    if (withheld > 0) announce_fatal();
  }

  void announce_fatal() {
    if (fatal.exchange(true)) return;
    char text[512] = "";
    rd_kafka_fatal_error(client.get(), text, sizeof text);
    on_fatal(text);
    {
      const std::lock_guard lock(mutex);
    }
    changed.notify_all();
  }

  [[nodiscard]] std::size_t open() const {
    // Read in this order, so that a report between the two reads cannot make the difference negative.
    const std::size_t done = reported.load(std::memory_order_acquire);
    return handed_over.load(std::memory_order_acquire) - done;
  }
};

Producer::Producer(const Settings& settings, const ProducerOptions& options, OnReports on_reports, OnFatal on_fatal)
    : impl_(std::make_unique<Impl>()) {
  Conf conf(settings);
  conf.set_default("compression.type", "none");
  conf.set_default("batch.num.messages", "10000");
  conf.fix("enable.idempotence", "true");
  conf.fix("acks", "all");
  conf.fix("partitioner", "murmur2_random");
  conf.fix("message.timeout.ms", "0");
  conf.fix("linger.ms", milliseconds_text(options.linger_ms));
  conf.fix("batch.size", std::to_string(options.batch_bytes));
  // librdkafka counts key and framing too; the broker's own limit (max.message.bytes) is 1,048,588.
  conf.fix("message.max.bytes", std::to_string(options.max_record_bytes + 2048));
  conf.fix("queue.buffering.max.messages", "10000000");
  conf.fix("queue.buffering.max.kbytes", "2097151");
  rd_kafka_conf_set_events(conf.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
  impl_->client = std::move(conf).make_client(RD_KAFKA_PRODUCER);
  impl_->topic_name = options.topic;
  impl_->topic.reset(rd_kafka_topic_new(impl_->client.get(), options.topic.c_str(), nullptr));
  impl_->queue.reset(rd_kafka_queue_get_main(impl_->client.get()));
  impl_->max_record_bytes = options.max_record_bytes;
  impl_->on_reports = std::move(on_reports);
  impl_->on_fatal = std::move(on_fatal);
  impl_->thread = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->serve(stop); });
}

Producer::~Producer() {
  impl_->thread.request_stop();
  rd_kafka_queue_yield(impl_->queue.get());
  impl_->thread.join();
  // Without this, destroying waits for requests in flight to a broker that hangs.
  rd_kafka_purge(impl_->client.get(),
                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

Result<int> Producer::warm(std::chrono::milliseconds timeout) {
  return count_partitions(impl_->client.get(), impl_->topic_name, static_cast<int>(timeout.count()));
}

Status Producer::produce(std::int32_t partition, std::string_view key, std::string_view value, void* opaque) {
  if (impl_->fatal.load(std::memory_order_relaxed)) return Error{ErrorKind::kConflict, "the Kafka producer has failed"};
  if (value.size() > impl_->max_record_bytes) {
    return Error{ErrorKind::kTooLarge, "the record has " + std::to_string(value.size()) + " bytes, at most " +
                                           std::to_string(impl_->max_record_bytes) + " are allowed"};
  }
  // Counted before, so that a report never comes before its count.
  impl_->handed_over.fetch_add(1, std::memory_order_acq_rel);
  if (rd_kafka_produce(impl_->topic.get(), partition, 0, const_cast<char*>(value.data()), value.size(), key.data(),
                       key.size(), opaque) == 0) {
    return {};
  }
  const rd_kafka_resp_err_t code = rd_kafka_last_error();
  impl_->handed_over.fetch_sub(1, std::memory_order_acq_rel);
  if (code == RD_KAFKA_RESP_ERR__FATAL) return Error{ErrorKind::kConflict, "the Kafka producer has failed"};
  return make_error(code, "produce");
}

std::size_t Producer::flush(std::chrono::milliseconds timeout) {
  // Makes librdkafka send what lingers; with delivery reports as events it does not serve them itself.
  rd_kafka_flush(impl_->client.get(), 0);
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait_for(lock, timeout, [this] { return impl_->open() == 0 || impl_->fatal.load(); });
  return impl_->open();
}

std::size_t Producer::outstanding() const { return impl_->open(); }

}  // namespace millrace::kafka
