#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>

#include <millrace/tls/opening.hpp>

namespace millrace::tls {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

constexpr std::string_view kCrowded = "its address has too many connections that have not shown who they are";

/// One connection on its way. Its timer keeps it alive until it is finished; the gate does not.
class Opening final : public HandshakeGate::Waiter, public std::enable_shared_from_this<Opening> {
 public:
  Opening(Stream::Socket socket, Address peer, std::shared_ptr<const OpeningSettings> settings,
          std::function<void(Opened)> done)
      : stream_(std::move(socket)),
        timer_(stream_.get_executor()),
        peer_(std::move(peer)),
        settings_(std::move(settings)),
        done_(std::move(done)) {}

  void start() {
    timer_.expires_after(settings_->deadline);
    timer_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
      if (!cancelled) self->finish(OpeningFault::kTimeout, "the handshake took too long");
    });
    if (settings_->balancers.contains(peer_.host)) return read_prefix();
    take_place();
  }

  // By the thread of whoever gives the place back, so of what is here it touches the timer alone, which never moves.
  void on_place(HandshakeGate::Place place) override {
    asio::post(timer_.get_executor(), [self = shared_from_this(), place = std::move(place)]() mutable {
      if (self->finished_) return;
      self->place_ = std::move(place);
      self->handshake();
    });
  }

 private:
  void read_prefix() {
    header_.resize(kProxyPrefixBytes);
    asio::async_read(stream_.socket(), asio::buffer(header_),
                     [self = shared_from_this()](ErrorCode error, std::size_t /*count*/) {
                       if (self->over(OpeningFault::kProxyHeader, error)) return;
                       const auto length = proxy_length(self->header_);
                       if (!length.ok()) return self->finish(OpeningFault::kProxyHeader, length.error().message);
                       self->read_addresses(*length);
                     });
  }

  void read_addresses(std::size_t length) {
    header_.resize(kProxyPrefixBytes + length);
    asio::async_read(stream_.socket(), asio::buffer(header_) + kProxyPrefixBytes,
                     [self = shared_from_this()](ErrorCode error, std::size_t /*count*/) {
                       if (self->over(OpeningFault::kProxyHeader, error)) return;
                       const auto source = proxy_source(self->header_);
                       if (!source.ok()) return self->finish(OpeningFault::kProxyHeader, source.error().message);
                       if (*source) self->peer_ = **source;
                       self->take_place();
                     });
  }

  void take_place() {
    if (settings_->strangers) {
      stranger_ = settings_->strangers->enter(owner_of_address(peer_.host));
      if (!stranger_) return finish(OpeningFault::kCrowded, std::string(kCrowded));
    }
    await_first_byte();
  }

  void await_first_byte() {
    if (!settings_->tls) return finish(std::nullopt, "");
    stream_.socket().async_wait(Stream::Socket::wait_read, [self = shared_from_this()](ErrorCode error) {
      if (self->over(OpeningFault::kHandshake, error)) return;
      if (!self->settings_->gate) return self->handshake();
      self->settings_->gate->enter(owner_of_address(self->peer_.host), self);
    });
  }

  void handshake() {
    if (const Status status = stream_.secure(*settings_->tls); !status.ok()) {
      return finish(OpeningFault::kHandshake, status.error().message);
    }
    stream_.async_handshake([self = shared_from_this()](ErrorCode error) {
      if (!error || self->finished_) return self->finish(std::nullopt, "");
      const std::string& fault = self->stream_.session()->fault();
      self->finish(OpeningFault::kHandshake, fault.empty() ? error.message() : fault);
    });
  }

  bool over(OpeningFault fault, ErrorCode error) {
    if (error) finish(fault, error.message());
    return finished_;
  }

  void finish(std::optional<OpeningFault> fault, const std::string& why) {
    if (std::exchange(finished_, true)) return;
    timer_.cancel();
    if (fault) stream_.close();
    // An operation that the timeout has ended still comes back to this object: it keeps its stream then, and its place.
    Stream stream =
        fault == OpeningFault::kTimeout ? Stream(Stream::Socket(stream_.get_executor())) : std::move(stream_);
    if (fault != OpeningFault::kTimeout) place_.reset();
    const auto done = std::move(done_);
    done(Opened{std::move(stream), std::move(peer_), fault, why, std::move(stranger_)});
  }

  Stream stream_;
  asio::steady_timer timer_;
  Address peer_;
  std::shared_ptr<const OpeningSettings> settings_;
  std::function<void(Opened)> done_;
  std::string header_;
  HandshakeGate::Place place_;
  Strangers::Place stranger_;
  bool finished_ = false;
};

}  // namespace

void open(Stream::Socket socket, std::shared_ptr<const OpeningSettings> settings, std::function<void(Opened)> done) {
  ErrorCode ignored;  // a peer that has gone already is seen by the first read
  const auto endpoint = socket.remote_endpoint(ignored);
  Address peer{endpoint.address().to_string(), endpoint.port()};
  if (!settings->tls && settings->balancers.empty() && !settings->strangers) {
    return done(Opened{Stream(std::move(socket)), std::move(peer), std::nullopt, "", {}});
  }
  std::make_shared<Opening>(std::move(socket), std::move(peer), std::move(settings), std::move(done))->start();
}

}  // namespace millrace::tls
