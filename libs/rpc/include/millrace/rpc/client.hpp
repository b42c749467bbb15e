#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <millrace/base/address.hpp>

namespace grpc {
class Channel;
}

namespace millrace::rpc {

struct ClientOptions {
  Address server;
  std::string api_key;                         ///< `mk_<id>_<secret>`; empty: no authorization is sent
  std::chrono::milliseconds deadline{10'000};  ///< of each unary call
  int max_receive_bytes = 64 << 20;
};

/// A plaintext channel; connects when it is first used and reconnects by itself (back-off 100 ms to 5 s). Thread-safe,
/// cheap to share. The stubs' calls take a context prepared by prepare() of call.hpp.
[[nodiscard]] std::shared_ptr<grpc::Channel> make_channel(const ClientOptions& options);

}  // namespace millrace::rpc
