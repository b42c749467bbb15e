#include <algorithm>
#include <cstdlib>

#include <millrace/kafka/transaction.hpp>

#include "handles.hpp"

namespace millrace::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kQueueFull{10'000};
constexpr int kServeMs = 20;

int to_ms(milliseconds timeout) {
  return static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 1'000'000'000));
}

Error make_error(const rd_kafka_error_t* error, std::string_view what) {
  ErrorKind kind = kind_of(rd_kafka_error_code(error));
  // Fenced: another holder of the transactional id, or the group has a later generation.
  switch (static_cast<int>(rd_kafka_error_code(error))) {
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
      kind = ErrorKind::kConflict;
      break;
    default:
      break;
  }
  return {kind, std::string(what) + ": " + rd_kafka_error_string(error)};
}

}  // namespace

struct TransactionalProducer::Impl {
  static void on_report(rd_kafka_t* client, const rd_kafka_message_t* message, void* opaque);

  template <typename Call>
  Status until(milliseconds timeout, std::string_view what, Call call);

  ClientHandle client;
  std::optional<Error> lost;  // a record of the open transaction that the broker did not take
};

// Having a callback at all matters: without one librdkafka 2.0.2 flushes in slices of 10 ms at each commit.
void TransactionalProducer::Impl::on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& impl = *static_cast<Impl*>(opaque);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !impl.lost)
    impl.lost = kafka::make_error(message->err, "a record of the transaction");
}

// Calls again while librdkafka says that the same call may succeed.
template <typename Call>
Status TransactionalProducer::Impl::until(milliseconds timeout, std::string_view what, Call call) {
  const auto deadline = steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    const ErrorHandle error(call(to_ms(left)));
    if (!error) return {};
    if (rd_kafka_error_is_retriable(error.get()) == 0 || left.count() <= 0) return make_error(error.get(), what);
    rd_kafka_poll(client.get(), kServeMs);
  }
}

TransactionalProducer::TransactionalProducer(const Settings& settings, const TransactionOptions& options)
    : impl_(std::make_unique<Impl>()) {
  Conf conf(settings);
  conf.fix("enable.idempotence", "true");
  conf.fix("acks", "all");
  conf.fix("transactional.id", options.transactional_id);
  conf.fix("transaction.timeout.ms", std::to_string(options.timeout.count()));
  conf.fix("partitioner", "murmur2_random");
  // Not longer than the transaction: librdkafka refuses it.
  conf.set_default("message.timeout.ms", std::to_string(options.timeout.count()));
  // A request that waits for a coordinator which does not come back is given up only after this; librdkafka checks the
  // time-out of the call itself no earlier (2.0.2, rd_kafka_txn_handle_AddOffsetsToTxn), and its default is a minute.
  conf.set_default("socket.timeout.ms", std::to_string(options.timeout.count()));
  conf.set_default("linger.ms", std::to_string(options.linger_ms));
  conf.set_default("compression.type", "lz4");
  // A transaction that begins while the broker still marks the end of the one before is told to come again. librdkafka
  // waits so long then (100 ms unless told otherwise), and a critical alert with it.
  conf.set_default("retry.backoff.ms", "2");
  rd_kafka_conf_set_dr_msg_cb(conf.get(), &Impl::on_report);
  rd_kafka_conf_set_opaque(conf.get(), impl_.get());
  impl_->client = std::move(conf).make_client(RD_KAFKA_PRODUCER);
}

TransactionalProducer::~TransactionalProducer() {
  rd_kafka_purge(impl_->client.get(),
                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

Status TransactionalProducer::init(milliseconds timeout) {
  return impl_->until(timeout, "init of transactions",
                      [this](int ms) { return rd_kafka_init_transactions(impl_->client.get(), ms); });
}

Status TransactionalProducer::begin() {
  impl_->lost.reset();
  const ErrorHandle error(rd_kafka_begin_transaction(impl_->client.get()));
  return error ? Status{make_error(error.get(), "begin of a transaction")} : Status{};
}

Status TransactionalProducer::produce(const std::string& topic, std::int32_t partition, std::string_view key,
                                      std::string_view value, std::span<const Header> headers) {
  const auto give_up = steady_clock::now() + kQueueFull;
  for (;;) {
    const rd_kafka_resp_err_t code =
        produce_copy(impl_->client.get(), {topic, partition, key, value, headers, nullptr});
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || steady_clock::now() >= give_up)
      return kafka::make_error(code, "produce");
    rd_kafka_poll(impl_->client.get(), kServeMs);
  }
  rd_kafka_poll(impl_->client.get(), 0);
  return impl_->lost ? Status{*impl_->lost} : Status{};
}

Status TransactionalProducer::send_positions(std::span<const CommittedPosition> positions, const GroupMetadata& group,
                                             milliseconds timeout) {
  const PartitionListHandle list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const CommittedPosition& one : positions) {
    rd_kafka_topic_partition_t* entry =
        rd_kafka_topic_partition_list_add(list.get(), one.where.topic.c_str(), one.where.partition);
    entry->offset = one.offset;
    if (one.metadata.empty()) continue;
    // librdkafka frees it with the list.
    entry->metadata = std::malloc(one.metadata.size() + 1);
    std::copy(one.metadata.begin(), one.metadata.end(), static_cast<char*>(entry->metadata));
    static_cast<char*>(entry->metadata)[one.metadata.size()] = '\0';
    entry->metadata_size = one.metadata.size();
  }
  const auto* members = static_cast<const rd_kafka_consumer_group_metadata_t*>(group.metadata_.get());
  return impl_->until(timeout, "positions of a transaction", [&](int ms) {
    return rd_kafka_send_offsets_to_transaction(impl_->client.get(), list.get(), members, ms);
  });
}

Status TransactionalProducer::commit(milliseconds timeout) {
  Status done = impl_->until(timeout, "commit of a transaction",
                             [this](int ms) { return rd_kafka_commit_transaction(impl_->client.get(), ms); });
  if (done && impl_->lost) return *impl_->lost;
  return done;
}

}  // namespace millrace::kafka
