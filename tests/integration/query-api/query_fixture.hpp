#pragma once

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/telemetry/batch.hpp>

#include "millrace/devices/v1/presence.pb.h"
#include "millrace/query/v1/query.grpc.pb.h"
#include "query_api_app.hpp"

namespace millrace::query_api {

/// query-api as it runs, on a database and topics of its own; the tests play device-registry, gateway and
/// storage-writer.
class QueryApi : public ::testing::Test {
 protected:
  static constexpr const char* kAcmeKey = "mk_acme1_secret-of-acme";
  static constexpr const char* kOtherKey = "mk_other1_secret-of-other";
  static constexpr const char* kPlatformKey = "mk_plat1_secret-of-platform";
  static constexpr std::int32_t kMeter = 7;      // device meter-1 of acme
  static constexpr std::int32_t kForeigner = 8;  // device meter-1 of other
  static constexpr TimeUs kStart = 1'767'225'600'000'000;

  void SetUp() override;
  void TearDown() override;

  /// Runs query-api until the end of the test; waits until it is ready.
  void start_service();

  /// A further device, before start_service().
  void put_device(const std::string& tenant, const std::string& device, std::int32_t key);
  /// A record of the topic presence.
  void put_presence(const devices::v1::Presence& record);

  /// Id of a metric; made on first use with this type.
  std::int32_t metric(const std::string& tenant, const std::string& name, storage_schema::MetricType type);
  void insert_sample(std::int32_t device, std::int32_t metric_id, TimeUs time, const telemetry::Value& value);
  void sql(const std::string& text);
  /// How far storage-writer is.
  void set_position(int partition, std::int64_t next_offset, std::int64_t latest_offset, TimeUs log_time);

  /// A record of the topic telemetry with so many points of metric `power`.
  kafka::RecordCoordinate produce(const std::string& tenant, int points, std::int64_t first_value = 0);
  kafka::RecordCoordinate produce_dead(const std::string& tenant, const std::string& payload,
                                       std::vector<kafka::Header> headers);

  static std::unique_ptr<grpc::ClientContext> context(const std::string& key,
                                                      std::chrono::seconds deadline = std::chrono::seconds(60));
  query::v1::RangeRequest range(const std::string& metric_name, TimeUs from, TimeUs to) const;
  query::v1::GetReceiptResponse receipt(const std::string& text, const std::string& key = kAcmeKey);

  template <class Request, class Response>
  grpc::StatusCode code_of(grpc::Status (query::v1::QueryService::StubInterface::*method)(grpc::ClientContext*,
                                                                                          const Request&, Response*),
                           const Request& request, const std::string& key) {
    Response response;
    return (stub_.get()->*method)(context(key).get(), request, &response).error_code();
  }

  kafka::TopicNames topics_;
  kafka::Settings kafka_;
  std::chrono::milliseconds call_deadline_{60'000};  // of the service, for start_service()
  std::unique_ptr<postgres::Connection> database_;
  std::unique_ptr<QueryApiApp> app_;
  std::unique_ptr<query::v1::QueryService::StubInterface> stub_;
  std::string database_name_;
  std::string database_url_;
  archive::StoreSettings archive_;  ///< of the service that is started next

 private:
  void make_database(const std::string& url);
  void make_topics();
  void put_registry();

  std::unique_ptr<postgres::Connection> admin_;
  std::unique_ptr<kafka::SyncProducer> producer_;
  std::uint64_t counter_ = 0;
};

}  // namespace millrace::query_api
