#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <millrace/base/address.hpp>
#include <millrace/tls/handshake_gate.hpp>
#include <millrace/tls/proxy_header.hpp>
#include <millrace/tls/strangers.hpp>
#include <millrace/tls/stream.hpp>

namespace millrace::tls {

struct OpeningSettings {
  std::shared_ptr<const ServerContext> tls;    ///< null: none
  Networks balancers;                          ///< whose connections begin with a PROXY header
  std::chrono::milliseconds deadline{10'000};  ///< from accept to the end of the handshake
  std::shared_ptr<HandshakeGate> gate;         ///< null: as many handshakes at once as there are connections
  std::shared_ptr<Strangers> strangers;        ///< null: an address may have any number of connections
};

enum class OpeningFault { kTimeout, kProxyHeader, kHandshake, kCrowded };

/// What became of an accepted connection before its protocol's first byte.
struct Opened {
  Stream stream;
  Address peer;  ///< the client, as its balancer says if it came through one
  std::optional<OpeningFault> fault;
  std::string why;  ///< of a fault
  /// To be given back when the peer has shown who it is; null without OpeningSettings::strangers.
  Strangers::Place stranger;
};

/// Takes a place of the peer's address, reads the PROXY header and does the handshake, where there are any; then calls
/// `done`, once, on the socket's thread. After a fault the stream is closed. Without TLS and balancers it is called at
/// once. A handshake begins, and costs memory, when the client's first byte has come and the gate lets it through. On
/// the socket's thread.
void open(Stream::Socket socket, std::shared_ptr<const OpeningSettings> settings, std::function<void(Opened)> done);

}  // namespace millrace::tls
