#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include <millrace/base/address.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "coap/coap_ingest.hpp"
#include "identity/authenticator.hpp"

namespace millrace::gateway {

struct CoapOptions {
  std::optional<Address> plain;       ///< UDP; none: off
  std::optional<Address> secure;      ///< DTLS; none: off
  std::size_t max_sessions = 15'000;  ///< DTLS peers remembered without a message in flight
  /// DTLS peers that have sent a ClientHello without a cookie: anybody's datagram makes one of less than a kilobyte,
  /// which libcoap keeps for 30 s. As long as there are so many it takes no new peer, and it walks them as it does the
  /// others.
  std::size_t max_handshakes = 10'000;
  std::chrono::seconds session_idle{300};
  /// UDP peers remembered the same way. Nobody misses them, repeats are recognised elsewhere, and anybody's datagram
  /// makes one: libcoap walks all of them each time it is called.
  std::size_t max_plain_sessions = 256;
  CoapIngestOptions ingest;
};

/// The CoAP endpoints (libcoap) and their thread. libcoap is not thread-safe: after start() nothing of it is touched by
/// any other thread. The answer to a confirmable request is an empty acknowledgement at once and a confirmable answer
/// after the delivery report (RFC 7252 section 5.2.2); what is refused before is answered in the acknowledgement.
class CoapServer {
 public:
  /// All references must outlive it.
  CoapServer(CoapOptions options, const registry_view::RegistryView& registry, Authenticator& authenticator,
             RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
             GatewayMetrics& metrics);
  ~CoapServer();  ///< stop()
  CoapServer(const CoapServer&) = delete;
  CoapServer& operator=(const CoapServer&) = delete;

  /// Binds and begins to answer. kUnavailable names the address and the setting if it is taken.
  [[nodiscard]] Status start();
  /// With the ports that were really bound; none where an endpoint is off. After start().
  [[nodiscard]] const std::optional<Address>& plain_address() const;
  [[nodiscard]] const std::optional<Address>& secure_address() const;

  /// New messages are told to come again. Any thread.
  void stop_intake();
  /// Waits until everything taken is answered, or the deadline.
  [[nodiscard]] Status drain(runtime::Deadline deadline);
  /// Ends the thread and waits for it.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::gateway
