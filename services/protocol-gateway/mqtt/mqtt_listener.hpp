#pragma once

#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <millrace/base/address.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "mqtt/mqtt_context.hpp"

namespace millrace::gateway {

/// Accepts MQTT connections and deals them out to the io threads in turn.
class MqttListener {
 public:
  /// `context` must outlive the listener and the threads.
  MqttListener(MqttContext& context, MqttAccess access);
  ~MqttListener();
  MqttListener(const MqttListener&) = delete;
  MqttListener& operator=(const MqttListener&) = delete;

  /// kUnavailable names the address if it is taken.
  [[nodiscard]] Status start(const Address& address);
  [[nodiscard]] const Address& address() const { return address_; }

  // What follows concerns the connections of all listeners of the context.

  /// Messages are taken again: every connection held for that reads on. Any thread.
  void resume_held();

  /// A device, token or tenant is not valid any more: closes the sessions that it let in. Any thread.
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
  void accept();

  MqttContext& context_;
  MqttAccess access_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  Address address_;
  std::size_t next_ = 0;
  bool stopped_ = false;  // io thread 0
};

}  // namespace millrace::gateway
