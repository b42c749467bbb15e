#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/write.hpp>

#include <millrace/base/address.hpp>
#include <millrace/tls/strangers.hpp>
#include <millrace/tls/stream.hpp>

#include "mqtt/web_socket.hpp"

namespace millrace::gateway {

enum class MqttTransport { kTcp, kTls, kWebSocket, kSecureWebSocket };

/// Who is at the other end, as far as the transport knows.
struct MqttPeer {
  Address address;  ///< the client's, also behind a balancer that says it
  MqttTransport transport = MqttTransport::kTcp;
  /// The certificates that the client has shown, DER, its own first; it has the key of that one, and nothing else of
  /// them is checked. Empty without TLS or without a certificate.
  std::vector<std::string> chain;
  tls::Strangers::Place stranger = {};  ///< until it has shown who it is
};

/// The bytes of one MQTT connection, over whatever carries them. One read and one write may be under way at a time;
/// everything on its io thread. TCP goes straight to the socket.
class MqttStream {
 public:
  explicit MqttStream(tls::Stream stream) : layer_(std::move(stream)) {}
  explicit MqttStream(std::shared_ptr<WebSocket> web_socket) : layer_(std::move(web_socket)) {}

  [[nodiscard]] boost::asio::any_io_executor get_executor() {
    auto* stream = std::get_if<tls::Stream>(&layer_);
    return stream != nullptr ? stream->get_executor() : web_socket().get_executor();
  }

  /// `handler` is called with an error_code and the count of bytes.
  template <typename Handler>
  void async_read_some(boost::asio::mutable_buffer into, Handler handler) {
    if (auto* stream = std::get_if<tls::Stream>(&layer_)) {
      stream->async_read_some(into, std::move(handler));
    } else {
      web_socket().read_some(into, std::move(handler));
    }
  }

  /// Writes all of it.
  template <typename Handler>
  void async_write(boost::asio::const_buffer from, Handler handler) {
    if (auto* stream = std::get_if<tls::Stream>(&layer_)) {
      boost::asio::async_write(*stream, from, std::move(handler));
    } else {
      web_socket().write(from, std::move(handler));
    }
  }

  /// Ends it; what is under way ends with an error.
  void close() {
    if (auto* stream = std::get_if<tls::Stream>(&layer_)) {
      stream->close();
    } else {
      web_socket().close();
    }
  }

 private:
  WebSocket& web_socket() { return **std::get_if<std::shared_ptr<WebSocket>>(&layer_); }

  std::variant<tls::Stream, std::shared_ptr<WebSocket>> layer_;
};

}  // namespace millrace::gateway
