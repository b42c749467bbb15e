#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <millrace/http/server.hpp>

#include "front/web_call.hpp"

namespace millrace::query_api {

/// A call with a stream of answers, from its request over HTTP to its end. Lives until gRPC's OnDone(). Holds one
/// message: the next one is asked for when the client took the one before, so that a slow client holds up the service's
/// stream as a slow reader over gRPC does. A client that goes away cancels the call. The head of the answer is sent
/// when the service sends its own, or with its first message or its status.
class WebStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                        public std::enable_shared_from_this<WebStream> {
 public:
  struct Request {
    WebForm form;
    const google::protobuf::MethodDescriptor& method;
    http::Responder responder;
    http::Response head;  ///< without status, content type and body
    std::string path;
    std::string message;
    std::function<void()> done;  ///< called last, on gRPC's thread
  };

  explicit WebStream(Request request) : request_(std::move(request)) {}
  /// Deadline and metadata: before start().
  [[nodiscard]] grpc::ClientContext& context() { return context_; }
  void start(grpc::GenericStub& stub);

  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void begin();         // under the mutex
  void ask();           // under the mutex
  void read_no_more();  // under the mutex
  void on_written();
  void on_gone();

  const Request request_;
  grpc::ClientContext context_;
  grpc::ByteBuffer asked_;
  grpc::ByteBuffer message_;
  std::shared_ptr<WebStream> self_;

  std::mutex mutex_;
  std::optional<http::BodyStream> body_;
  std::optional<grpc::Status> fault_;  // of this side
  bool reading_ = false;
  bool may_read_ = true;
  bool gone_ = false;
};

/// Bytes as gRPC takes them, and back.
[[nodiscard]] grpc::ByteBuffer buffer_of(const std::string& bytes);
[[nodiscard]] std::string bytes_of(const grpc::ByteBuffer& buffer);

}  // namespace millrace::query_api
