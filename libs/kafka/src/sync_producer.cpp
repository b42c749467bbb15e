#include <algorithm>

#include <millrace/kafka/sync_producer.hpp>

#include "handles.hpp"

namespace millrace::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kPollMs = 100;

// What became of one record of a send(); filled by its delivery report.
struct Ticket {
  bool reported = false;
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_msg_status_t status = RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
  RecordCoordinate at;
};

void on_report(rd_kafka_t* /*client*/, const rd_kafka_message_t* message, void* /*opaque*/) {
  auto& ticket = *static_cast<Ticket*>(message->_private);
  ticket = {true, message->err, rd_kafka_message_status(message), {message->partition, message->offset}};
}

rd_kafka_resp_err_t enqueue(rd_kafka_t* client, const OutgoingRecord& record, Ticket& ticket) {
  const std::optional<std::string_view> value =
      record.value ? std::optional<std::string_view>(*record.value) : std::nullopt;
  return produce_copy(client, {record.topic, record.partition, record.key, value, record.headers, &ticket});
}

}  // namespace

struct SyncProducer::Impl {
  Settings settings;
  milliseconds timeout;
  ClientHandle client;

  void make();
  void heal();
};

void SyncProducer::Impl::make() {
  Conf conf(settings);
  conf.fix("enable.idempotence", "true");
  conf.fix("acks", "all");
  conf.set_default("partitioner", "murmur2_random");
  conf.set_default("linger.ms", "1");
  conf.set_default("message.timeout.ms", std::to_string(timeout.count()));
  rd_kafka_conf_set_dr_msg_cb(conf.get(), &on_report);
  client = std::move(conf).make_client(RD_KAFKA_PRODUCER);
}

// After a fatal error the instance is done for; the next one starts afresh.
void SyncProducer::Impl::heal() {
  char text[256];
  if (client && rd_kafka_fatal_error(client.get(), text, sizeof text) == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  client.reset();
  make();
}

SyncProducer::SyncProducer(const Settings& settings, milliseconds timeout) : impl_(std::make_unique<Impl>()) {
  impl_->settings = settings;
  impl_->timeout = timeout;
  impl_->make();
}

SyncProducer::~SyncProducer() = default;

Result<std::vector<RecordCoordinate>> SyncProducer::send(std::span<const OutgoingRecord> records) {
  impl_->heal();
  rd_kafka_t* client = impl_->client.get();
  std::vector<Ticket> tickets(records.size());
  std::size_t sent = 0;
  rd_kafka_resp_err_t refused = RD_KAFKA_RESP_ERR_NO_ERROR;
  for (; sent < records.size(); ++sent) {
    refused = enqueue(client, records[sent], tickets[sent]);
    if (refused != RD_KAFKA_RESP_ERR_NO_ERROR) break;
  }
  const auto open = [&] {
    return std::any_of(tickets.begin(), tickets.begin() + static_cast<std::ptrdiff_t>(sent),
                       [](const Ticket& ticket) { return !ticket.reported; });
  };
  // Every record has a report at the latest after message.timeout.ms; the grace covers librdkafka's own scan interval.
  const auto give_up = steady_clock::now() + impl_->timeout + milliseconds{5000};
  while (open() && steady_clock::now() < give_up) rd_kafka_poll(client, kPollMs);
  if (open()) {
    // The tickets are on this stack: no report may come after it is gone.
    impl_->client.reset();
    impl_->make();
    return Error{ErrorKind::kUnknownOutcome, "Kafka did not answer in time"};
  }
  if (refused != RD_KAFKA_RESP_ERR_NO_ERROR && sent == 0) return make_error(refused, "produce");
  std::vector<RecordCoordinate> coordinates;
  bool any_written = false;
  rd_kafka_resp_err_t failure = refused;
  for (std::size_t i = 0; i < sent; ++i) {
    if (tickets[i].code != RD_KAFKA_RESP_ERR_NO_ERROR) failure = tickets[i].code;
    any_written = any_written || tickets[i].status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    coordinates.push_back(tickets[i].at);
  }
  if (failure == RD_KAFKA_RESP_ERR_NO_ERROR) return coordinates;
  Error error = make_error(failure, "produce");
  if (any_written) error.kind = ErrorKind::kUnknownOutcome;
  return error;
}

Result<RecordCoordinate> SyncProducer::send_one(const OutgoingRecord& record) {
  const auto sent = send(std::span(&record, 1));
  if (!sent.ok()) return sent.error();
  return sent->front();
}

}  // namespace millrace::kafka
