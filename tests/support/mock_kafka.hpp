#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

namespace millrace::testing {

/// librdkafka's broker inside the process. It keeps 5 MB or 100,000 batches of a partition, knows no topic creation and
/// no LogAppendTime; durability is not its subject.
class MockKafka {
 public:
  static constexpr int kProduce = 0;

  MockKafka() {
    char text[256];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (client_ == nullptr) throw std::runtime_error(text);
    cluster_ = rd_kafka_mock_cluster_new(client_, 1);
  }
  ~MockKafka() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(client_);
  }
  MockKafka(const MockKafka&) = delete;
  MockKafka& operator=(const MockKafka&) = delete;

  [[nodiscard]] std::string bootstrap() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void create_topic(const std::string& name, int partitions) {
    rd_kafka_mock_topic_create(cluster_, name.c_str(), partitions, 1);
  }
  void broker_down() { rd_kafka_mock_broker_set_down(cluster_, 1); }
  void broker_up() { rd_kafka_mock_broker_set_up(cluster_, 1); }
  /// Every answer comes that much later.
  void set_delay_ms(int delay) { rd_kafka_mock_broker_set_rtt(cluster_, 1, delay); }
  /// The next requests of that kind get these answers, one each.
  void push_errors(int api, const std::vector<rd_kafka_resp_err_t>& errors) {
    rd_kafka_mock_push_request_errors_array(cluster_, static_cast<std::int16_t>(api), errors.size(), errors.data());
  }
  void clear_errors(int api) { rd_kafka_mock_clear_request_errors(cluster_, static_cast<std::int16_t>(api)); }

 private:
  rd_kafka_t* client_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

}  // namespace millrace::testing
