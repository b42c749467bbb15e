#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <millrace/base/address.hpp>

namespace grpc {
class Channel;
class ChannelCredentials;
}  // namespace grpc

namespace millrace::rpc {

struct ClientOptions {
  Address server;
  std::string ca_file;                         ///< PEM of those whose servers are trusted; empty: plaintext
  std::string api_key;                         ///< `mk_<id>_<secret>`; empty: no authorization is sent
  std::chrono::milliseconds deadline{10'000};  ///< of each unary call
  int max_receive_bytes = 64 << 20;
};

/// The credentials of a channel: TLS that verifies the server's chain and name, or plaintext without a CA file. A file
/// that cannot be read trusts nobody: the calls say UNAVAILABLE.
[[nodiscard]] std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const std::string& ca_file);

/// A channel; connects when it is first used and reconnects by itself (back-off 100 ms to 5 s). Thread-safe,
/// cheap to share. The stubs' calls take a context prepared by prepare() of call.hpp.
[[nodiscard]] std::shared_ptr<grpc::Channel> make_channel(const ClientOptions& options);

}  // namespace millrace::rpc
