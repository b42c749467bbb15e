#include "transactional_producer.hpp"

#include <array>
#include <cstdlib>
#include <optional>

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

namespace millrace::testing {
namespace {

constexpr int kTimeoutMs = 60'000;

void expect_done(rd_kafka_error_t* error) {
  if (error == nullptr) return;
  ADD_FAILURE() << rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
}

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  char reason[256] = "";
  EXPECT_EQ(rd_kafka_conf_set(conf, name, value.c_str(), reason, sizeof reason), RD_KAFKA_CONF_OK) << reason;
}

void* mutable_bytes(std::string_view bytes) { return const_cast<char*>(bytes.data()); }

void produce(rd_kafka_t* client, const std::string& topic, int partition, std::string_view key,
             std::optional<std::string_view> value) {
  std::array<rd_kafka_vu_t, 5> what{};
  what[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  what[0].u.cstr = topic.c_str();
  what[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  what[1].u.i32 = partition;
  what[2].vtype = RD_KAFKA_VTYPE_KEY;
  what[2].u.mem = {mutable_bytes(key), key.size()};
  what[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  what[3].u.i = RD_KAFKA_MSG_F_COPY;
  what[4].vtype = RD_KAFKA_VTYPE_VALUE;
  if (value) what[4].u.mem = {mutable_bytes(*value), value->size()};
  expect_done(rd_kafka_produceva(client, what.data(), what.size()));
}

}  // namespace

struct TransactionalProducer::Impl {
  rd_kafka_t* client = nullptr;
};

TransactionalProducer::TransactionalProducer(const kafka::Settings& settings, const std::string& transactional_id)
    : impl_(std::make_unique<Impl>()) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", settings.bootstrap);
  set(conf, "transactional.id", transactional_id);
  char reason[256] = "";
  impl_->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
  if (impl_->client == nullptr) {
    ADD_FAILURE() << reason;
    rd_kafka_conf_destroy(conf);
    std::abort();
  }
  expect_done(rd_kafka_init_transactions(impl_->client, kTimeoutMs));
}

TransactionalProducer::~TransactionalProducer() { rd_kafka_destroy(impl_->client); }

void TransactionalProducer::begin() { expect_done(rd_kafka_begin_transaction(impl_->client)); }

void TransactionalProducer::put(const std::string& topic, int partition, std::string_view key, std::string_view value) {
  produce(impl_->client, topic, partition, key, value);
}

void TransactionalProducer::put_tombstone(const std::string& topic, int partition, std::string_view key) {
  produce(impl_->client, topic, partition, key, std::nullopt);
}

void TransactionalProducer::commit() { expect_done(rd_kafka_commit_transaction(impl_->client, kTimeoutMs)); }

void TransactionalProducer::abort() {
  // Without the flush librdkafka drops what it has not sent, and there is nothing for a reader to skip.
  EXPECT_EQ(rd_kafka_flush(impl_->client, kTimeoutMs), RD_KAFKA_RESP_ERR_NO_ERROR);
  expect_done(rd_kafka_abort_transaction(impl_->client, kTimeoutMs));
}

}  // namespace millrace::testing
