#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/kafka/transaction.hpp>

#include "engine/outputs.hpp"

namespace millrace::stream {

/// Puts results into a Kafka transaction, which it begins with the first of them. One thread.
class TransactionOutputs final : public Outputs {
 public:
  TransactionOutputs(kafka::TransactionalProducer& producer, const kafka::TopicNames& topics)
      : producer_(producer), topics_(topics) {}

  /// What comes from now on belongs to this partition; `value` is the record in hand (for telemetry.late).
  void set_source(std::int32_t partition, std::string_view value);

  void window(const ClosedWindow& closed) override;
  void alert(const Alert& event) override;
  void late(const LateReadings& late) override;

  /// Begins the transaction if none is open.
  void begin();
  /// The open transaction was committed.
  void reset();

  [[nodiscard]] bool is_open() const { return open_; }
  /// A critical alert waits for its commit.
  [[nodiscard]] bool is_urgent() const { return urgent_; }
  /// Of the first call that failed: nothing of the transaction may be committed.
  [[nodiscard]] const Status& status() const { return status_; }

  /// Of the open transaction.
  struct Content {
    std::uint64_t windows = 0;
    std::uint64_t raised = 0;
    std::uint64_t cleared = 0;
    std::vector<TimeUs> raised_from;  ///< ingest times of the readings behind the raised alerts
  };
  [[nodiscard]] const Content& content() const { return content_; }

 private:
  void put(const std::string& topic, std::string_view key, std::string_view value,
           std::span<const kafka::Header> headers = {});

  kafka::TransactionalProducer& producer_;
  const kafka::TopicNames& topics_;
  std::int32_t partition_ = 0;
  std::string_view source_;
  bool open_ = false;
  bool urgent_ = false;
  Status status_;
  Content content_;
};

}  // namespace millrace::stream
