#include "mqtt/web_socket.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <millrace/mqtt/codec.hpp>

namespace millrace::tls {

// What Boost.Beast asks of a stream that it is to close: after the close frames only the socket is left.
inline void teardown(boost::beast::role_type /*role*/, Stream& stream, boost::system::error_code& error) {
  error = stream.shutdown_send();
}

template <typename Handler>
void async_teardown(boost::beast::role_type /*role*/, Stream& stream, Handler&& handler) {
  const boost::system::error_code error = stream.shutdown_send();
  boost::asio::post(stream.get_executor(),
                    [error, handler = std::forward<Handler>(handler)]() mutable { handler(error); });
}

}  // namespace millrace::tls

namespace millrace::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using ErrorCode = boost::system::error_code;

constexpr const char* kSubprotocol = "mqtt";
constexpr std::chrono::seconds kGoodbye{2};
constexpr std::size_t kWriteBufferBytes = 8;  // the least; servers do not mask, and nothing is fragmented

/// Bytes of the packet at the beginning; all of them if there is no whole one.
std::size_t first_packet(asio::const_buffer bytes) {
  mqtt::Frame frame;
  const auto found = mqtt::next_frame({static_cast<const char*>(bytes.data()), bytes.size()},
                                      std::numeric_limits<std::uint32_t>::max(), frame);
  return found.status == mqtt::FrameStatus::kComplete ? frame.size : bytes.size();
}

using Lower = websocket::stream<tls::Stream, /*deflateSupported=*/false>;

class BeastWebSocket final : public WebSocket, public std::enable_shared_from_this<BeastWebSocket> {
 public:
  BeastWebSocket(tls::Stream stream, const WebSocketSettings& settings)
      : lower_(std::move(stream)), timer_(lower_.get_executor()) {
    lower_.binary(true);
    lower_.auto_fragment(false);
    lower_.write_buffer_bytes(kWriteBufferBytes);
    lower_.read_message_max(settings.max_message_bytes);
    // MQTT's own keep alive and deadlines do that.
    lower_.set_option(websocket::stream_base::timeout{websocket::stream_base::none(), websocket::stream_base::none(),
                                                      /*keep_alive_pings=*/false});
    lower_.set_option(websocket::stream_base::decorator(
        [](websocket::response_type& response) { response.set(http::field::sec_websocket_protocol, kSubprotocol); }));
  }

  template <typename Request, typename Done>
  void accept(const Request& request, Done done) {
    lower_.async_accept(request, std::move(done));
  }

  asio::any_io_executor get_executor() override { return lower_.get_executor(); }

  void read_some(asio::mutable_buffer into, Handler handler) override {
    lower_.async_read_some(into, [self = shared_from_this(), into, handler = std::move(handler)](
                                     ErrorCode error, std::size_t count) mutable {
      // [MQTT-6.0.0-1]: MQTT comes in binary frames only.
      if (!error && self->lower_.got_text()) {
        self->farewell_ = websocket::close_code::unknown_data;
        error = make_error_code(boost::system::errc::protocol_error);
        count = 0;
      }
      if (!error && count == 0) return self->read_some(into, std::move(handler));  // a frame without bytes
      handler(error, count);
    });
  }

  void write(asio::const_buffer from, Handler handler) override { write_packets(from, 0, std::move(handler)); }

  void close() override {
    if (std::exchange(closing_, true)) return;
    timer_.expires_after(kGoodbye);
    timer_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
      if (!cancelled) self->lower_.next_layer().close();
    });
    lower_.async_close(farewell_, [self = shared_from_this()](ErrorCode /*ignored*/) {
      self->timer_.cancel();
      self->lower_.next_layer().close();
    });
  }

  /// At once, without a goodbye.
  void abort() { lower_.next_layer().close(); }

 private:
  /// Each packet in a message of its own, though the standards demand nothing of the kind: Paho's C library looks at
  /// the rest of a message only when the next one has come.
  void write_packets(asio::const_buffer rest, std::size_t written, Handler handler) {
    lower_.async_write(asio::buffer(rest, first_packet(rest)),
                       [self = shared_from_this(), rest, written, handler = std::move(handler)](
                           ErrorCode error, std::size_t count) mutable {
                         if (error || count == rest.size()) return handler(error, written + count);
                         self->write_packets(rest + count, written + count, std::move(handler));
                       });
  }

  Lower lower_;
  asio::steady_timer timer_;
  websocket::close_code farewell_ = websocket::close_code::normal;
  bool closing_ = false;
};

/// What is wrong with a request, with its HTTP status.
struct Refusal {
  http::status status;
  std::string why;
};

bool offers_mqtt(const http::request<http::empty_body>& request) {
  const auto offered = request.equal_range(http::field::sec_websocket_protocol);
  for (auto field = offered.first; field != offered.second; ++field) {
    for (const auto& token : http::token_list{field->value()}) {
      if (token == kSubprotocol) return true;
    }
  }
  return false;
}

std::optional<Refusal> check(const http::request<http::empty_body>& request) {
  const beast::string_view target = request.target();
  const beast::string_view path = target.substr(0, target.find('?'));
  if (path != "/mqtt" && path != "/") return Refusal{http::status::not_found, "MQTT over WebSocket is at /mqtt"};
  if (!websocket::is_upgrade(request)) {
    return Refusal{http::status::upgrade_required, "only WebSocket is spoken here (RFC 6455)"};
  }
  // [MQTT-6.0.0-3]
  if (!offers_mqtt(request)) {
    return Refusal{http::status::bad_request, "the subprotocol mqtt must be among Sec-WebSocket-Protocol"};
  }
  return std::nullopt;
}

/// One connection on its way to a WebSocket; lives as long as an operation of it is under way.
class Upgrade : public std::enable_shared_from_this<Upgrade> {
 public:
  Upgrade(tls::Stream stream, const WebSocketSettings& settings,
          std::function<void(Result<std::shared_ptr<WebSocket>>)> done)
      : stream_(std::move(stream)),
        timer_(stream_.get_executor()),
        settings_(settings),
        done_(std::move(done)),
        buffer_(settings.max_header_bytes) {
    parser_.header_limit(static_cast<std::uint32_t>(settings.max_header_bytes));
  }

  void start() {
    timer_.expires_after(settings_.upgrade_deadline);
    timer_.async_wait([weak = weak_from_this()](ErrorCode cancelled) {
      const auto self = weak.lock();
      if (!cancelled && self) self->time_out();
    });
    http::async_read_header(stream_, buffer_, parser_,
                            [self = shared_from_this()](ErrorCode error, std::size_t) { self->on_header(error); });
  }

 private:
  void on_header(ErrorCode error) {
    if (finished_) return;
    const bool gone = error == http::error::end_of_stream || error == http::error::partial_message ||
                      error.category() == boost::system::system_category() ||
                      error.category() == asio::error::get_misc_category();
    if (error && gone) return finish(Error{ErrorKind::kUnavailable, "the client went away before its request"});
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return refuse({http::status::request_header_fields_too_large, "the request's header is too large"});
    }
    if (error) return refuse({http::status::bad_request, error.message()});
    if (auto refusal = check(parser_.get())) return refuse(std::move(*refusal));
    if (buffer_.size() > 0) return refuse({http::status::bad_request, "frames came before the upgrade was answered"});
    web_socket_ = std::make_shared<BeastWebSocket>(std::move(stream_), settings_);
    web_socket_->accept(parser_.get(), [self = shared_from_this()](ErrorCode fault) {
      if (fault) {
        self->web_socket_->abort();
        return self->finish(Error{ErrorKind::kInvalid, fault.message()});
      }
      self->finish(std::shared_ptr<WebSocket>(self->web_socket_));
    });
  }

  void refuse(Refusal refusal) {
    answer_.result(refusal.status);
    answer_.set(http::field::content_type, "text/plain");
    answer_.set(http::field::connection, "close");
    if (refusal.status == http::status::upgrade_required) answer_.set(http::field::upgrade, "websocket");
    answer_.body() = refusal.why + "\n";
    answer_.prepare_payload();
    http::async_write(stream_, answer_,
                      [self = shared_from_this(), why = std::move(refusal.why)](ErrorCode, std::size_t) {
                        self->stream_.close();
                        self->finish(Error{ErrorKind::kInvalid, why});
                      });
  }

  void time_out() {
    if (web_socket_) {
      web_socket_->abort();
    } else {
      stream_.close();
    }
    finish(Error{ErrorKind::kUnavailable, "the WebSocket request took too long"});
  }

  void finish(Result<std::shared_ptr<WebSocket>> result) {
    if (std::exchange(finished_, true)) return;
    timer_.cancel();
    const auto done = std::move(done_);
    done(std::move(result));
  }

  tls::Stream stream_;
  asio::steady_timer timer_;
  WebSocketSettings settings_;
  std::function<void(Result<std::shared_ptr<WebSocket>>)> done_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> answer_;
  std::shared_ptr<BeastWebSocket> web_socket_;
  bool finished_ = false;
};

}  // namespace

void upgrade_to_web_socket(tls::Stream stream, const WebSocketSettings& settings,
                           std::function<void(Result<std::shared_ptr<WebSocket>>)> done) {
  std::make_shared<Upgrade>(std::move(stream), settings, std::move(done))->start();
}

}  // namespace millrace::gateway
