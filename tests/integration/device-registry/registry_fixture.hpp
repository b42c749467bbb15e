#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <millrace/kafka/topics.hpp>
#include <millrace/postgres/connection.hpp>

#include "device_registry_app.hpp"
#include "kafka_log.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"

namespace millrace::registry {

/// device-registry as it runs, on a database and topics of its own, with the tenants acme and other and a key for each
/// role of acme.
class Registry : public ::testing::Test {
 protected:
  using Service = v1::RegistryService;
  using Stub = Service::StubInterface;

  void SetUp() override;
  void TearDown() override;

  /// Stops and starts the service as a new process would.
  void restart();

  template <class Request, class Response>
  grpc::Status call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response, const std::string& key) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + key);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return (stub_.get()->*method)(&context, request, &response);
  }
  /// The code alone.
  template <class Request, class Response>
  grpc::StatusCode code_of(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, const std::string& key) {
    Response response;
    return call(method, request, response, key).error_code();
  }

  /// A device of acme without further ado; its first token.
  std::string make_device(const std::string& device);
  void delete_device(const std::string& device);
  /// "INVALID_ARGUMENT: what it says", or "OK".
  template <class Request, class Response>
  std::string said(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, const std::string& key) {
    Response response;
    return text_of(call(method, request, response, key));
  }
  static std::string text_of(const grpc::Status& status);
  /// The entity that the topic has under the key once all that was changed before is in it; a tombstone and nothing are
  /// an entry without entity.
  v1::Entry published(const std::string& key);

  /// What the topic holds, in order; an empty value is a tombstone.
  std::vector<testing::LogEntry> log_of(const std::string& topic);
  /// Waits until the topic's newest record under the key satisfies; false: it never did.
  bool wait_for(const std::string& topic, const std::string& key, const std::function<bool(const std::string&)>& holds);
  void sql(const std::string& text);

  std::string admin_, operator_, viewer_, other_, platform_;  // API keys; other_ is an admin of tenant other
  kafka::TopicNames topics_;
  kafka::Settings kafka_;
  std::unique_ptr<postgres::Connection> database_;
  std::unique_ptr<DeviceRegistryApp> app_;
  std::unique_ptr<Stub> stub_;

 private:
  void make_database(const std::string& url);
  void make_keys();
  void start_service();

  std::unique_ptr<postgres::Connection> servers_;
  std::string database_name_;
  std::string database_url_;
};

}  // namespace millrace::registry
