#pragma once

#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/postgres/pool.hpp>

#include "log/reader_pool.hpp"
#include "receipts/receipt_state.hpp"
#include "receipts/tenant_cache.hpp"

namespace millrace::query_api {

/// What became of a message. Blocking until the deadline at most; thread-safe.
class ReceiptReader {
 public:
  ReceiptReader(postgres::Pool& pool, LogReaders& log, kafka::TopicNames topics)
      : pool_(pool), log_(log), topics_(std::move(topics)) {}

  /// kUnavailable: database or Kafka are away.
  [[nodiscard]] Result<ReceiptAnswer> find(const telemetry::Receipt& receipt, const std::string& tenant,
                                           SteadyTime deadline);

 private:
  [[nodiscard]] Result<ReceiptAnswer> find_dead(const telemetry::Receipt& receipt, const std::string& tenant,
                                                SteadyTime deadline);
  [[nodiscard]] Result<StoredFacts> stored_facts(const telemetry::Receipt& receipt, SteadyTime deadline);
  [[nodiscard]] Result<LogFacts> log_facts(const telemetry::Receipt& receipt, const StoredFacts& stored,
                                           SteadyTime deadline);

  postgres::Pool& pool_;
  LogReaders& log_;
  kafka::TopicNames topics_;
  TenantCache tenants_{100'000};
};

}  // namespace millrace::query_api
