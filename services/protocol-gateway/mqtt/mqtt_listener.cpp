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

/// The place of a connection among those that are on their way to MQTT.
class MqttListener::Place {
 public:
  explicit Place(std::atomic<std::size_t>& count) : count_(count) { count_.fetch_add(1, std::memory_order_relaxed); }
  ~Place() { count_.fetch_sub(1, std::memory_order_relaxed); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  std::atomic<std::size_t>& count_;
};

MqttListener::MqttListener(MqttContext& context, MqttListenerOptions options)
    : context_(context),
      access_(options.access),
      transport_(options.transport),
      opening_(std::make_shared<const tls::OpeningSettings>(std::move(options.opening))),
      handshakes_(opening_->tls ? options.handshakes_per_s : 0),
      acceptor_(context.threads.context(0)),
      pause_(context.threads.context(0)) {
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
  const auto now = Admission::Clock::now();
  if (const auto wait = std::max(context_.connects.wait(now), handshakes_.wait(now)); wait > wait.zero()) {
    context_.metrics.mqtt_accept_pauses.add();
    return accept_after(wait);
  }
  const std::size_t index = next_++ % context_.threads.size();
  acceptor_.async_accept(context_.threads.context(index),
                         [this, index](const boost::system::error_code& error, tcp::socket socket) {
                           if (stopped_) return;
                           if (error) {
                             // Out of descriptors, mostly: waiting lets connections end, spinning would not.
                             context_.log.limited(context_.limiter, observability::Level::kWarn,
                                                  "a connection could not be accepted", {{"error", error.message()}});
                             return accept_after(kPauseAfterError);
                           }
                           context_.connects.take();
                           handshakes_.take();
                           const std::size_t taken = context_.open_connections.load(std::memory_order_relaxed) +
                                                     context_.opening.load(std::memory_order_relaxed);
                           if (taken >= context_.options.max_connections) {
                             context_.metrics.mqtt_connects_refused.add();
                             boost::system::error_code ignored;
                             socket.close(ignored);
                           } else {
                             begin(std::move(socket), index);
                           }
                           accept();
                         });
}

void MqttListener::accept_after(Admission::Clock::duration wait) {
  pause_.expires_after(wait);
  pause_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) accept();
  });
}

// From here on the connection is its own thread's.
void MqttListener::begin(tcp::socket socket, std::size_t index) {
  auto place = std::make_shared<Place>(context_.opening);
  boost::asio::post(
      context_.threads.context(index), [this, index, place = std::move(place), socket = std::move(socket)]() mutable {
        boost::system::error_code ignored;  // an option that cannot be set costs latency, nothing else
        socket.set_option(tcp::no_delay(true), ignored);
        tls::open(std::move(socket), opening_,
                  [this, index, place](tls::Opened opened) { on_opened(std::move(opened), index, place); });
      });
}

void MqttListener::on_opened(tls::Opened opened, std::size_t index, std::shared_ptr<Place> place) {
  if (opened.fault) {
    switch (*opened.fault) {
      case tls::OpeningFault::kTimeout:
        return refused(context_.metrics.tls_handshakes_timeout, opened.why, opened.peer);
      case tls::OpeningFault::kHandshake:
        return refused(context_.metrics.tls_handshakes_failed, opened.why, opened.peer);
      case tls::OpeningFault::kProxyHeader:
        return refused(context_.metrics.proxy_headers_refused, opened.why, opened.peer);
      case tls::OpeningFault::kCrowded:
        return refused(context_.metrics.strangers_refused, opened.why, opened.peer);
    }
  }
  MqttPeer peer{std::move(opened.peer), transport_, {}, std::move(opened.stranger)};
  if (const tls::Session* session = opened.stream.session()) {
    (session->resumed() ? context_.metrics.tls_handshakes_resumed : context_.metrics.tls_handshakes_full).add();
    peer.chain = session->peer_chain();
  }
  const bool web_socket = transport_ == MqttTransport::kWebSocket || transport_ == MqttTransport::kSecureWebSocket;
  if (web_socket) return upgrade(std::move(opened.stream), std::move(peer), index, std::move(place));
  connect(MqttStream(std::move(opened.stream)), std::move(peer), index);
}

void MqttListener::upgrade(tls::Stream stream, MqttPeer peer, std::size_t index, std::shared_ptr<Place> place) {
  WebSocketSettings settings;
  settings.upgrade_deadline = opening_->deadline;
  // A client may put several packets into one message.
  settings.max_message_bytes = std::size_t{2} * context_.options.session.maximum_packet_size;
  upgrade_to_web_socket(
      std::move(stream), settings,
      [this, index, peer = std::move(peer), place = std::move(place)](Result<std::shared_ptr<WebSocket>> done) mutable {
        if (!done.ok()) return refused(context_.metrics.web_sockets_refused, done.error().message, peer.address);
        connect(MqttStream(std::move(*done)), std::move(peer), index);
      });
}

void MqttListener::connect(MqttStream stream, MqttPeer peer, std::size_t index) {
  if (stopped_) return stream.close();
  std::make_shared<MqttConnection>(std::move(stream), std::move(peer), index, context_, access_)->start();
}

void MqttListener::refused(const observability::Counter& counter, std::string_view why, const Address& peer) {
  counter.add();
  context_.log.limited(context_.limiter, observability::Level::kInfo, "a connection did not come as far as MQTT",
                       {{"why", why}, {"peer", peer.to_string()}});
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
    connection->check_again();
  }
  if (revocation.kind != registry_view::Revocation::Kind::kDisabled) return;
  // Whoever speaks for it may not hear what is meant for it any more.
  for (const auto& connection : context_.connections.hearing_others(revocation.tenant)) connection->check_again();
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
