#pragma once

#include <atomic>
#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <millrace/base/address.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/tls/opening.hpp>

#include "io/admission.hpp"
#include "mqtt/mqtt_context.hpp"
#include "mqtt/mqtt_stream.hpp"

namespace millrace::gateway {

struct MqttListenerOptions {
  MqttAccess access = MqttAccess::kDevices;
  MqttTransport transport = MqttTransport::kTcp;
  tls::OpeningSettings opening;  ///< `tls` where the transport has it
  double handshakes_per_s = 0;   ///< of TLS, over all threads; 0: no limit
};

/// Accepts MQTT connections over one transport, brings them through what comes before MQTT (PROXY header, TLS,
/// WebSocket) and deals them out to the io threads in turn. No faster than the limits say: the others wait in the
/// kernel's backlog.
class MqttListener {
 public:
  /// `context` must outlive the listener and the threads.
  MqttListener(MqttContext& context, MqttListenerOptions options);
  ~MqttListener();
  MqttListener(const MqttListener&) = delete;
  MqttListener& operator=(const MqttListener&) = delete;

  /// kUnavailable names the address if it is taken.
  [[nodiscard]] Status start(const Address& address);
  [[nodiscard]] const Address& address() const { return address_; }

  // What follows concerns the connections of all listeners of the context.

  /// Messages are taken again: every connection held for that reads on. Any thread.
  void resume_held();

  /// What devices may do is less than it was, or may be: closes the sessions that may not go on. Any thread.
  void on_revocation(const registry_view::Revocation& revocation);

  /// Another gateway has a client: closes its older connection here. Any thread.
  void on_newer(const Visit& visit, std::uint64_t epoch);
  /// A connection of a device is gone: those that are here say so again. Any thread.
  void on_gone(const Visit& visit, std::uint64_t offset);

  /// The record of a session that a connection has here was overwritten: it writes it again. Any thread.
  void on_overwritten(const SessionName& session);

  /// No new connections. Any thread.
  void stop_accepting();
  /// Tells every client to go elsewhere, one after the other over `spread`; each goes when what it has sent is
  /// answered. Blocks for so long, at most until the deadline.
  void drain_all(std::chrono::milliseconds spread, runtime::Deadline deadline);
  /// Waits until no connection is left; false: at the deadline there are some.
  [[nodiscard]] bool wait_closed(runtime::Deadline deadline) const;

  /// No new connections, and nothing more is read from the open ones. Any thread.
  void stop_intake();
  /// Says goodbye to every session and closes it. Any thread.
  void close_all();

 private:
  class Place;

  void accept();
  void accept_after(Admission::Clock::duration wait);
  void begin(boost::asio::ip::tcp::socket socket, std::size_t index);
  void on_opened(tls::Opened opened, std::size_t index, std::shared_ptr<Place> place);
  void upgrade(tls::Stream stream, MqttPeer peer, std::size_t index, std::shared_ptr<Place> place);
  void connect(MqttStream stream, MqttPeer peer, std::size_t index);
  void refused(const observability::Counter& counter, std::string_view why, const Address& peer);

  MqttContext& context_;
  MqttAccess access_;
  MqttTransport transport_;
  std::shared_ptr<const tls::OpeningSettings> opening_;
  Admission handshakes_;  // io thread 0
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  Address address_;
  std::size_t next_ = 0;
  std::atomic<bool> stopped_{false};
};

}  // namespace millrace::gateway
