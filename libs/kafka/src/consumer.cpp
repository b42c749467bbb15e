#include <algorithm>
#include <array>
#include <utility>

#include <millrace/kafka/consumer.hpp>

#include "handles.hpp"

namespace millrace::kafka {
namespace {

using std::chrono::milliseconds;

constexpr TimeUs kUsPerMs = 1000;

int to_ms(milliseconds timeout) { return static_cast<int>(std::min<std::int64_t>(timeout.count(), 1'000'000'000)); }

PartitionListHandle list_of(std::span<const TopicPartition> partitions) {
  PartitionListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const TopicPartition& one : partitions)
    rd_kafka_topic_partition_list_add(list.get(), one.topic.c_str(), one.partition);
  return list;
}

PartitionListHandle list_of(std::span<const Position> positions) {
  PartitionListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const Position& one : positions) {
    rd_kafka_topic_partition_list_add(list.get(), one.where.topic.c_str(), one.where.partition)->offset = one.offset;
  }
  return list;
}

std::vector<TopicPartition> partitions_of(const rd_kafka_topic_partition_list_t& list) {
  std::vector<TopicPartition> partitions;
  for (int i = 0; i < list.cnt; ++i) partitions.push_back({list.elems[i].topic, list.elems[i].partition});
  return partitions;
}

// The first error within a list that a call has filled.
Status check_elements(const rd_kafka_topic_partition_list_t& list, std::string_view what) {
  for (int i = 0; i < list.cnt; ++i) {
    if (list.elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(list.elems[i].err, what);
  }
  return {};
}

Status status_of(rd_kafka_resp_err_t code, std::string_view what) {
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return make_error(code, what);
}

// Every code of librdkafka that is not named here goes on by itself after a while.
Fault fault_of(rd_kafka_t* client, rd_kafka_resp_err_t code) {
  // Fencing comes as "fatal"; the client knows what it was.
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    const rd_kafka_resp_err_t cause = rd_kafka_fatal_error(client, nullptr, 0);
    if (cause != RD_KAFKA_RESP_ERR_NO_ERROR) code = cause == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ? cause : code;
  }
  const auto is = [code](std::initializer_list<rd_kafka_resp_err_t> codes) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
  };
  if (is({RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE}))
    return Fault::kOffsetOutOfRange;
  if (is({RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID})) return Fault::kFenced;
  if (is({RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED})) return Fault::kPollTooSlow;
  if (is({RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
          RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION}))
    return Fault::kUnknownTopic;
  if (is({RD_KAFKA_RESP_ERR__FATAL})) return Fault::kFatal;
  return Fault::kTransient;
}

// librdkafka 2.0.2 keeps a partition paused over a new assignment: nothing would ever come from it. Resumed before, not
// after: an operation right behind the assignment can make it lose its offset (librdkafka issue 2190).
rd_kafka_resp_err_t assign_flowing(rd_kafka_t* client, rd_kafka_topic_partition_list_t* list) {
  rd_kafka_resume_partitions(client, list);  // what was not assigned before is no fault here
  return rd_kafka_assign(client, list);
}

rd_kafka_message_t* raw(const void* message) { return static_cast<rd_kafka_message_t*>(const_cast<void*>(message)); }

}  // namespace

void Record::Release::operator()(void* message) const noexcept { rd_kafka_message_destroy(raw(message)); }

std::string_view Record::topic() const {
  return message_ ? std::string_view(rd_kafka_topic_name(raw(message_.get())->rkt)) : std::string_view{};
}

std::optional<std::string_view> Record::header(std::string_view name) const {
  rd_kafka_headers_t* headers = nullptr;
  if (!message_ || rd_kafka_message_headers(raw(message_.get()), &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::nullopt;
  const void* value = nullptr;
  std::size_t size = 0;
  if (rd_kafka_header_get_last(headers, std::string(name).c_str(), &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::nullopt;
  return std::string_view(static_cast<const char*>(value), size);
}

std::vector<Header> Record::headers() const {
  std::vector<Header> all;
  rd_kafka_headers_t* headers = nullptr;
  if (!message_ || rd_kafka_message_headers(raw(message_.get()), &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return all;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    all.push_back({name, std::string(static_cast<const char*>(value), size)});
  }
  return all;
}

struct Consumer::Impl {
  static void on_error(rd_kafka_t* client, int code, const char* reason, void* opaque);
  static void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list,
                           void* opaque);
  void assigned(const rd_kafka_topic_partition_list_t& list);
  void revoked(rd_kafka_topic_partition_list_t& list);
  Polled fault(rd_kafka_resp_err_t code, std::string message, const rd_kafka_message_t* source);

  ClientHandle client;
  RebalanceCallbacks callbacks;
  std::optional<std::string> assignment_error;  // of on_assigned, on its way out of poll()
  std::uint64_t connection_losses = 0;
  bool closed = false;
};

// Runs inside poll(). Everything that a caller must react to comes out of poll() itself; here only the losses are
// counted.
void Consumer::Impl::on_error(rd_kafka_t*, int code, const char*, void* opaque) {
  const auto error = static_cast<rd_kafka_resp_err_t>(code);
  if (error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
      error == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    ++static_cast<Impl*>(opaque)->connection_losses;
  }
}

void Consumer::Impl::on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list,
                                  void* opaque) {
  auto& impl = *static_cast<Impl*>(opaque);
  if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    impl.assigned(*list);
  } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
    impl.revoked(*list);
  } else {
    // The documentation asks for this on errors, so that librdkafka's state is synchronised.
    rd_kafka_assign(client, nullptr);
  }
}

void Consumer::Impl::assigned(const rd_kafka_topic_partition_list_t& list) {
  const std::vector<TopicPartition> partitions = partitions_of(list);
  const auto positions = callbacks.on_assigned(partitions);
  if (!positions.ok()) {
    assignment_error = positions.error().message;
    rd_kafka_assign(client.get(), nullptr);
    return;
  }
  const PartitionListHandle wanted = list_of(std::span<const Position>(*positions));
  const rd_kafka_resp_err_t code = assign_flowing(client.get(), wanted.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) assignment_error = make_error(code, "assign").message;
}

void Consumer::Impl::revoked(rd_kafka_topic_partition_list_t& list) {
  const bool lost = rd_kafka_assignment_lost(client.get()) != 0;
  if (callbacks.on_revoked) callbacks.on_revoked(partitions_of(list), lost ? Revocation::kLost : Revocation::kOrderly);
  rd_kafka_assign(client.get(), nullptr);
}

Polled Consumer::Impl::fault(rd_kafka_resp_err_t code, std::string message, const rd_kafka_message_t* source) {
  Polled polled;
  polled.kind = Polled::Kind::kFault;
  polled.fault = fault_of(client.get(), code);
  polled.message = std::string(rd_kafka_err2name(code)) + ": " + std::move(message);
  if (source != nullptr && source->rkt != nullptr) {
    polled.position = {{rd_kafka_topic_name(source->rkt), source->partition}, source->offset};
  }
  return polled;
}

Consumer::Consumer(const Settings& settings, const ConsumerOptions& options) : impl_(std::make_unique<Impl>()) {
  Conf conf(settings);
  conf.fix("enable.auto.commit", "false");
  conf.fix("enable.auto.offset.store", "false");
  conf.fix("auto.offset.reset", "error");
  conf.fix("enable.partition.eof", "true");
  conf.fix("partition.assignment.strategy", "range");
  conf.fix("isolation.level", options.isolation == Isolation::kReadCommitted ? "read_committed" : "read_uncommitted");
  // librdkafka wants a group id for the consumer queue even where no group is joined.
  conf.fix("group.id", options.group_id.empty() ? "millrace-none" : options.group_id);
  if (!options.group_instance_id.empty()) conf.fix("group.instance.id", options.group_instance_id);
  conf.set_default("session.timeout.ms", std::to_string(options.session_timeout.count()));
  conf.set_default("heartbeat.interval.ms",
                   std::to_string(std::max<std::int64_t>(100, options.session_timeout.count() / 5)));
  conf.set_default("max.poll.interval.ms", std::to_string(options.max_poll_interval.count()));
  conf.set_default("fetch.wait.max.ms", std::to_string(options.fetch_wait.count()));
  conf.set_default("fetch.min.bytes", std::to_string(options.fetch_min_bytes));
  conf.set_default("max.partition.fetch.bytes", std::to_string(options.fetch_bytes));
  // Both bounds are documented as each partition's, but all partitions share one queue, and librdkafka 2.0.2 compares
  // that with them (rd_kafka_q_len() and rd_kafka_q_size() follow the forwarding). Beyond either a partition is not
  // fetched for a fixed second: the bytes are the bound that is meant, so many records never wait.
  conf.set_default("queued.max.messages.kbytes",
                   std::to_string(std::max<std::size_t>(options.prefetch_bytes / 1024, 1024)));
  conf.set_default("queued.min.messages", "10000000");
  conf.set_default("fetch.error.backoff.ms", "100");
  rd_kafka_conf_set_error_cb(conf.get(), &Impl::on_error);
  rd_kafka_conf_set_rebalance_cb(conf.get(), &Impl::on_rebalance);
  rd_kafka_conf_set_opaque(conf.get(), impl_.get());
  impl_->client = std::move(conf).make_client(RD_KAFKA_CONSUMER);
  rd_kafka_poll_set_consumer(impl_->client.get());
}

Consumer::~Consumer() { close(); }

Status Consumer::subscribe(const std::vector<std::string>& topics, RebalanceCallbacks callbacks) {
  impl_->callbacks = std::move(callbacks);
  const PartitionListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
  for (const std::string& topic : topics)
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  return status_of(rd_kafka_subscribe(impl_->client.get(), list.get()), "subscribe");
}

Status Consumer::assign(std::span<const Position> positions) {
  const PartitionListHandle list = list_of(positions);
  return status_of(assign_flowing(impl_->client.get(), list.get()), "assign");
}

std::uint64_t Consumer::connection_losses() const { return impl_->connection_losses; }

Polled Consumer::poll(milliseconds timeout) {
  rd_kafka_message_t* message = rd_kafka_consumer_poll(impl_->client.get(), to_ms(timeout));
  if (impl_->assignment_error) {
    if (message != nullptr) rd_kafka_message_destroy(message);
    Polled polled;
    polled.kind = Polled::Kind::kFault;
    polled.fault = Fault::kFatal;
    polled.message = *std::exchange(impl_->assignment_error, std::nullopt);
    return polled;
  }
  Polled polled;
  if (message == nullptr) return polled;
  Record record;
  record.message_.reset(message);
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    polled.kind = Polled::Kind::kEndOfPartition;
    polled.position = {{rd_kafka_topic_name(message->rkt), message->partition}, message->offset};
    return polled;
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return impl_->fault(message->err,
                        rd_kafka_message_errstr(message) != nullptr ? rd_kafka_message_errstr(message) : "", message);
  }
  record.partition_ = message->partition;
  record.offset_ = message->offset;
  record.key_ = {static_cast<const char*>(message->key), message->key_len};
  record.value_ = {static_cast<const char*>(message->payload), message->len};
  record.tombstone_ = message->payload == nullptr;
  rd_kafka_timestamp_type_t type{};
  const std::int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
  record.timestamp_us_ = timestamp_ms > 0 ? timestamp_ms * kUsPerMs : 0;
  polled.kind = Polled::Kind::kRecord;
  polled.record = std::move(record);
  return polled;
}

Status Consumer::seek(const Position& position, milliseconds timeout) {
  const std::array one{position};
  const PartitionListHandle list = list_of(std::span<const Position>(one));
  const ErrorHandle error(rd_kafka_seek_partitions(impl_->client.get(), list.get(), to_ms(timeout)));
  if (error) return make_error(rd_kafka_error_code(error.get()), "seek");
  return check_elements(*list, "seek");
}

Status Consumer::pause(std::span<const TopicPartition> partitions) {
  const PartitionListHandle list = list_of(partitions);
  const rd_kafka_resp_err_t code = rd_kafka_pause_partitions(impl_->client.get(), list.get());
  return code == RD_KAFKA_RESP_ERR_NO_ERROR ? check_elements(*list, "pause") : status_of(code, "pause");
}

Status Consumer::resume(std::span<const TopicPartition> partitions) {
  const PartitionListHandle list = list_of(partitions);
  const rd_kafka_resp_err_t code = rd_kafka_resume_partitions(impl_->client.get(), list.get());
  return code == RD_KAFKA_RESP_ERR_NO_ERROR ? check_elements(*list, "resume") : status_of(code, "resume");
}

std::vector<TopicPartition> Consumer::assignment() const {
  rd_kafka_topic_partition_list_t* list = nullptr;
  if (rd_kafka_assignment(impl_->client.get(), &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  const PartitionListHandle owned(list);
  return partitions_of(*owned);
}

Result<Watermarks> Consumer::watermarks(const TopicPartition& where, milliseconds timeout) {
  Watermarks marks;
  const rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
      impl_->client.get(), where.topic.c_str(), where.partition, &marks.low, &marks.high, to_ms(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "watermarks of " + where.topic);
  return marks;
}

std::optional<Watermarks> Consumer::cached_watermarks(const TopicPartition& where) const {
  Watermarks marks;
  const rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(impl_->client.get(), where.topic.c_str(),
                                                                  where.partition, &marks.low, &marks.high);
  // Before the first fetch librdkafka gives RD_KAFKA_OFFSET_INVALID.
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR || marks.high < 0) return std::nullopt;
  return marks;
}

Result<std::vector<Position>> Consumer::offsets_at(std::span<const TopicPartition> partitions, TimeUs time_us,
                                                   milliseconds timeout) {
  const PartitionListHandle list = list_of(partitions);
  // Times before 1970 are none for Kafka: -1 asks for the end of the log, other ones are refused.
  const std::int64_t time_ms = (std::max<TimeUs>(0, time_us) + kUsPerMs - 1) / kUsPerMs;
  for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = time_ms;
  const rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(impl_->client.get(), list.get(), to_ms(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "offsets for a time");
  if (const Status status = check_elements(*list, "offsets for a time"); !status.ok()) return status.error();
  std::vector<Position> positions;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    positions.push_back({{one.topic, one.partition}, one.offset >= 0 ? one.offset : kOffsetEnd});
  }
  return positions;
}

Result<std::vector<CommittedPosition>> Consumer::committed(std::span<const TopicPartition> partitions,
                                                           milliseconds timeout) {
  const PartitionListHandle list = list_of(partitions);
  const rd_kafka_resp_err_t code = rd_kafka_committed(impl_->client.get(), list.get(), to_ms(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "committed positions");
  if (const Status status = check_elements(*list, "committed positions"); !status.ok()) return status.error();
  std::vector<CommittedPosition> positions;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    CommittedPosition position{{one.topic, one.partition}, one.offset < 0 ? -1 : one.offset, {}};
    if (one.metadata != nullptr) position.metadata.assign(static_cast<const char*>(one.metadata), one.metadata_size);
    positions.push_back(std::move(position));
  }
  return positions;
}

void GroupMetadata::Release::operator()(void* metadata) const noexcept {
  rd_kafka_consumer_group_metadata_destroy(static_cast<rd_kafka_consumer_group_metadata_t*>(metadata));
}

GroupMetadata Consumer::group_metadata() const {
  return GroupMetadata(rd_kafka_consumer_group_metadata(impl_->client.get()));
}

Result<int> Consumer::partitions(const std::string& topic, milliseconds timeout) {
  return count_partitions(impl_->client.get(), topic, to_ms(timeout));
}

Result<std::string> Consumer::cluster_id(milliseconds timeout) {
  return read_cluster_id(impl_->client.get(), to_ms(timeout));
}

void Consumer::close() {
  if (std::exchange(impl_->closed, true)) return;
  // Serves the last rebalance (on_revoked) on this thread.
  rd_kafka_consumer_close(impl_->client.get());
}

}  // namespace millrace::kafka
