#include "mqtt/mqtt_listener.hpp"

#include <thread>

#include <boost/asio/post.hpp>

#include "mqtt/device_message.hpp"
#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {
namespace {

using boost::asio::ip::tcp;

constexpr int kBacklog = 4096;
constexpr std::chrono::milliseconds kPauseAfterError{100};

}  // namespace

MqttListener::MqttListener(MqttContext& context, MqttAccess access)
    : context_(context), access_(access), acceptor_(context.threads.context(0)), pause_(context.threads.context(0)) {
  context_.held.resize(context_.threads.size());
}

MqttListener::~MqttListener() = default;

Status MqttListener::start(const Address& address) {
  boost::system::error_code error;
  const auto host = boost::asio::ip::make_address(address.host == "localhost" ? "127.0.0.1" : address.host, error);
  if (error) return Error{ErrorKind::kInvalid, "'" + address.host + "' is no IP address to listen on"};
  const tcp::endpoint endpoint(host, address.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(kBacklog, error);
  if (error) {
    return Error{ErrorKind::kUnavailable, "cannot listen on " + address.to_string() + " (MQTT): " + error.message()};
  }
  address_ = {address.host, acceptor_.local_endpoint().port()};
  boost::asio::post(acceptor_.get_executor(), [this] { accept(); });
  return {};
}

void MqttListener::accept() {
  if (stopped_) return;
  const std::size_t index = next_++ % context_.threads.size();
  acceptor_.async_accept(
      context_.threads.context(index), [this, index](const boost::system::error_code& error, tcp::socket socket) {
        if (stopped_) return;
        if (error) {
          // Out of descriptors, mostly: waiting lets connections end, spinning would not.
          context_.log.limited(context_.limiter, observability::Level::kWarn, "a connection could not be accepted",
                               {{"error", error.message()}});
          pause_.expires_after(kPauseAfterError);
          pause_.async_wait([this](const boost::system::error_code& cancelled) {
            if (!cancelled) accept();
          });
          return;
        }
        if (context_.open_connections.load(std::memory_order_relaxed) >= context_.options.max_connections) {
          context_.metrics.mqtt_connects_refused.add();
          boost::system::error_code ignored;
          socket.close(ignored);
        } else {
          auto connection = std::make_shared<MqttConnection>(std::move(socket), index, context_, access_);
          boost::asio::post(context_.threads.context(index), [connection] { connection->start(); });
        }
        accept();
      });
}

void MqttListener::resume_held() {
  for (std::size_t i = 0; i < context_.threads.size(); ++i) {
    boost::asio::post(context_.threads.context(i), [this, i] {
      const auto held = std::exchange(context_.held[i], {});
      for (const auto& weak : held) {
        if (const auto connection = weak.lock()) connection->resume();
      }
    });
  }
}

void MqttListener::on_revocation(const registry_view::Revocation& revocation) {
  for (const auto& connection : context_.connections.of(revocation.tenant, revocation.device)) {
    if (!connection->still_valid()) {
      connection->close_from_outside(mqtt::ReasonCode::kNotAuthorized,
                                     "the device's credentials are not valid any more");
    }
  }
}

void MqttListener::on_newer(const Visit& visit, std::uint64_t epoch) {
  for (const auto& connection : context_.connections.of(visit.tenant, visit.device)) {
    if (connection->visit().client_id == visit.client_id) connection->superseded(epoch);
  }
  // A session without a connection has gone on elsewhere; that of a connection goes with it.
  context_.spaces.of_tenant(visit.tenant)
      .broker()
      .forget_detached(session_name(visit.device, visit.client_id), epoch, std::chrono::steady_clock::now());
}

void MqttListener::on_gone(const Visit& visit, std::uint64_t offset) {
  for (const auto& connection : context_.connections.of(visit.tenant, visit.device)) {
    connection->assert_presence(offset);
  }
}

void MqttListener::on_overwritten(const SessionName& session) {
  for (const auto& connection : context_.connections.of(session.tenant, session.device)) {
    if (connection->visit().client_id == session.client_id) connection->assert_session();
  }
}

void MqttListener::stop_accepting() {
  boost::asio::post(acceptor_.get_executor(), [this] {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  });
}

// Evenly over the time: where the devices go next, they do not all come at once.
void MqttListener::drain_all(std::chrono::milliseconds spread, runtime::Deadline deadline) {
  const auto connections = context_.connections.all();
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < connections.size(); ++i) {
    const auto due = begin + spread * i / connections.size();
    if (due >= deadline) break;
    std::this_thread::sleep_until(due);
    connections[i]->drain();
  }
}

bool MqttListener::wait_closed(runtime::Deadline deadline) const {
  while (!context_.connections.all().empty()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void MqttListener::stop_intake() {
  stop_accepting();
  for (const auto& connection : context_.connections.all()) {
    boost::asio::post(context_.threads.context(connection->io_index()), [connection] { connection->stop_reading(); });
  }
}

void MqttListener::close_all() {
  for (const auto& connection : context_.connections.all()) {
    connection->close_from_outside(mqtt::ReasonCode::kServerShuttingDown, "the gateway is going down");
  }
}

}  // namespace millrace::gateway
