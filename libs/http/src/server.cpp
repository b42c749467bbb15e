#include <future>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <millrace/tls/opening.hpp>

#include "connection.hpp"

namespace millrace::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

// Takes what it needs of the server and no more: posted to one context it must not keep alive what belongs to another,
// which may be destroyed first.
template <typename Action>
void on_each(const Shared& shared, std::size_t index, Action action) {
  // A connection that ends takes itself out of the set.
  std::vector<std::shared_ptr<Connection>> open;
  for (Connection* connection : shared.open[index]) {
    if (auto alive = connection->weak_from_this().lock()) open.push_back(std::move(alive));
  }
  for (const auto& connection : open) action(*connection);
}

Result<tcp::endpoint> resolve(asio::io_context& context, const Address& address) {
  boost::system::error_code error;
  const asio::ip::address number = asio::ip::make_address(address.host, error);
  if (!error) return tcp::endpoint(number, address.port);
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, error);
  if (error || found.empty()) return Error{ErrorKind::kInvalid, "http: no such host: " + address.host};
  return found.begin()->endpoint();
}

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Impl> {
  Impl(const ServerSettings& settings, std::span<asio::io_context* const> contexts, Handler handler, Observer observer)
      : shared(std::make_shared<Shared>()), acceptor(*contexts.front()), pause(*contexts.front()) {
    shared->settings = settings;
    shared->handler = std::move(handler);
    shared->observer = std::move(observer);
    shared->contexts.assign(contexts.begin(), contexts.end());
    shared->open.resize(contexts.size());
    opening = std::make_shared<const tls::OpeningSettings>(tls::OpeningSettings{
        settings.tls, settings.balancers, settings.handshake_timeout, settings.handshakes, settings.strangers});
  }

  Status listen() {
    auto endpoint = resolve(*shared->contexts.front(), shared->settings.address);
    if (!endpoint) return endpoint.error();
    boost::system::error_code error;
    acceptor.open(endpoint->protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(*endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Error{ErrorKind::kUnavailable,
                   "http: cannot listen on " + shared->settings.address.to_string() + ": " + error.message()};
    }
    address = {shared->settings.address.host, acceptor.local_endpoint(error).port()};
    return {};
  }

  void accept() {
    const std::size_t index = next++ % shared->contexts.size();
    acceptor.async_accept(*shared->contexts[index], [self = shared_from_this(), index](
                                                        const boost::system::error_code& error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !self->acceptor.is_open()) return;
      if (error) return self->accept_later();
      self->admit(std::move(socket), index);
      self->accept();
    });
  }

  // No file descriptor is left: there is one again when a connection has gone.
  void accept_later() {
    pause.expires_after(kAcceptPause);
    pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->acceptor.is_open()) self->accept();
    });
  }

  void admit(tcp::socket socket, std::size_t index) {
    const std::size_t taken =
        shared->connections.load(std::memory_order_relaxed) + shared->opening.load(std::memory_order_relaxed);
    if (taken >= shared->settings.max_connections) {
      shared->observer.refused("too_many_connections");
      return;  // closes the socket
    }
    shared->opening.fetch_add(1, std::memory_order_relaxed);
    asio::post(*shared->contexts[index],
               [shared = shared, opening = opening, index, socket = std::move(socket)]() mutable {
                 boost::system::error_code ignored;  // an option that cannot be set costs latency, nothing else
                 socket.set_option(tcp::no_delay(true), ignored);
                 tls::open(std::move(socket), std::move(opening),
                           [shared, index](tls::Opened opened) { on_opened(std::move(opened), index, shared); });
               });
  }

  // Takes what it needs of the server and no more, as on_each().
  static void on_opened(tls::Opened opened, std::size_t index, const std::shared_ptr<Shared>& shared) {
    shared->opening.fetch_sub(1, std::memory_order_relaxed);
    if (opened.fault) {
      if (opened.fault == tls::OpeningFault::kProxyHeader) return shared->observer.refused("proxy_header");
      if (opened.fault == tls::OpeningFault::kCrowded) return shared->observer.refused("crowded_address");
      return shared->observer.handshake(opened.fault == tls::OpeningFault::kTimeout ? "timeout" : "failed");
    }
    if (const tls::Session* session = opened.stream.session()) {
      shared->observer.handshake(session->resumed() ? "resumed" : "full");
    }
    std::make_shared<Connection>(std::move(opened), index, shared)->start();
  }

  void close_acceptor() {
    asio::post(*shared->contexts.front(), [self = shared_from_this()] {
      boost::system::error_code ignored;
      self->acceptor.close(ignored);
      self->pause.cancel();
    });
  }

  std::shared_ptr<Shared> shared;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  Address address;
  std::shared_ptr<const tls::OpeningSettings> opening;
  std::size_t next = 0;
  std::atomic<bool> closed{false};
};

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { close(); }

Result<std::unique_ptr<Server>> Server::start(const ServerSettings& settings,
                                              std::span<asio::io_context* const> contexts, Handler handler,
                                              Observer observer) {
  auto impl = std::make_shared<Impl>(settings, contexts, std::move(handler), std::move(observer));
  if (Status status = impl->listen(); !status) return status.error();
  asio::post(*contexts.front(), [impl] { impl->accept(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

const Address& Server::address() const { return impl_->address; }

std::size_t Server::connections() const { return impl_->shared->connections.load(std::memory_order_relaxed); }

void Server::stop_intake() {
  impl_->shared->draining.store(true);
  impl_->close_acceptor();
  for (std::size_t i = 0; i < impl_->shared->contexts.size(); ++i) {
    asio::post(*impl_->shared->contexts[i],
               [shared = impl_->shared, i] { on_each(*shared, i, [](Connection& c) { c.drain(); }); });
  }
}

void Server::close() {
  if (impl_->closed.exchange(true)) return;
  impl_->shared->draining.store(true);
  impl_->close_acceptor();
  for (std::size_t i = 0; i < impl_->shared->contexts.size(); ++i) {
    auto done = std::make_shared<std::promise<void>>();
    std::future<void> ended = done->get_future();
    asio::io_context& context = *impl_->shared->contexts[i];
    asio::post(context, [shared = impl_->shared, i, done] {
      on_each(*shared, i, [](Connection& c) { c.abort(); });
      done->set_value();
    });
    // A context that was stopped runs nothing any more, which is just as good.
    while (!context.stopped() && ended.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    }
  }
}

}  // namespace millrace::http
