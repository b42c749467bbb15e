#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

namespace grpc {
class Channel;
class Service;
}  // namespace grpc

namespace millrace::rpc {

struct ServerOptions {
  Address listen;                                       ///< port 0: a free one
  std::string certificate_file;                         ///< PEM with its intermediates; empty: plaintext
  std::string key_file;                                 ///< PEM; both are read again when they change
  std::size_t memory_bytes = std::size_t{64} << 20;     ///< ResourceQuota over all connections
  int max_receive_bytes = 4 << 20;                      ///< one message from a client
  int max_send_bytes = 16 << 20;                        ///< one message to a client
  int max_concurrent_streams = 256;                     ///< per connection
  std::chrono::milliseconds keepalive{60'000};          ///< ping of a silent client; it has 20 s to answer
  std::chrono::milliseconds min_ping_interval{10'000};  ///< clients that ping more often are disconnected
};

/// A gRPC server with the health service (grpc.health.v1) and server reflection (v1alpha). Over TLS 1.2 and 1.3 with a
/// certificate, else plaintext.
class Server {
 public:
  /// Binds, serves and reports SERVING. The services must outlive the server. kUnavailable names the address if it
  /// cannot be bound (a port in use is never shared), kInvalid the file that cannot be used.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(const ServerOptions& options,
                                                             const std::vector<grpc::Service*>& services);
  ~Server();  ///< cancels what is still running
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// With the port that was really bound.
  [[nodiscard]] const Address& address() const;

  /// The health service says NOT_SERVING from now on; calls are still answered. First phase of a stop.
  void set_not_serving();

  /// Takes no new calls, waits for the running ones until `deadline`, then cancels them (kUnavailable says so). Whoever
  /// holds streams open ends them first. Later calls return at once.
  [[nodiscard]] Status stop(std::chrono::steady_clock::time_point deadline);

  /// A channel to this server that does not leave the process.
  [[nodiscard]] std::shared_ptr<grpc::Channel> in_process_channel();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::rpc
