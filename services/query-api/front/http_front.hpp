#pragma once

#include <memory>
#include <string>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>
#include <millrace/observability/metrics.hpp>

namespace grpc {
class Channel;
}

namespace millrace::query_api {

struct FrontOptions {
  Address listen;
  std::string certificate_file;  ///< empty: no TLS; read again when it changes
  std::string key_file;
  std::vector<std::string> cors_origins;
  std::size_t body_bytes = 0;
};

/// gRPC-Web and Connect over HTTP/1.1: `POST /millrace.query.v1.QueryService/<Method>`, with one answer or a stream of
/// them. Unpacks the request and calls the service through a channel, so that keys, roles, deadlines and limits are the
/// same. One thread.
class HttpFront {
 public:
  /// `metrics` must outlive it: millrace_query_http_{answers_total,refused_total}. kUnavailable names the address if it
  /// is taken.
  [[nodiscard]] static Result<std::unique_ptr<HttpFront>> start(const FrontOptions& options,
                                                                std::shared_ptr<grpc::Channel> channel,
                                                                observability::Metrics& metrics);
  ~HttpFront();  ///< waits for the calls that are under way: the service ends them first; closes what is open, streams
                 ///< too
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  /// With the port that was really bound.
  [[nodiscard]] const Address& address() const;
  /// No new connections; idle ones are closed, the others after their answers.
  void stop_intake();

 private:
  struct Impl;
  explicit HttpFront(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::query_api
