#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>

#include <millrace/base/result.hpp>
#include <millrace/tls/stream.hpp>

namespace millrace::gateway {

struct WebSocketSettings {
  std::chrono::milliseconds upgrade_deadline{10'000};  ///< from the first byte to the answer
  std::size_t max_header_bytes = 8 * 1024;             ///< of the HTTP request
  std::size_t max_message_bytes = 1024 * 1024;         ///< of one WebSocket message, over all its frames
};

/// MQTT over WebSocket (RFC 6455; section 6 of both MQTT standards): bytes in binary frames. The borders of those that
/// come mean nothing; each packet that is written is a message of its own. A text frame or a message that is too large
/// ends the connection, with 1003 or 1009; pings are answered while it is read.
class WebSocket {
 public:
  using Handler = std::function<void(const boost::system::error_code&, std::size_t)>;

  WebSocket() = default;
  virtual ~WebSocket() = default;
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  [[nodiscard]] virtual boost::asio::any_io_executor get_executor() = 0;
  virtual void read_some(boost::asio::mutable_buffer into, Handler handler) = 0;
  /// All of it, which is whole packets.
  virtual void write(boost::asio::const_buffer from, Handler handler) = 0;
  /// Says goodbye (close frame) for two seconds at the most, then closes. Returns at once.
  virtual void close() = 0;
};

/// Answers the HTTP request that a WebSocket begins with: GET of `/mqtt` or `/`, with the subprotocol `mqtt`. Whatever
/// else comes gets its HTTP status and is closed (kInvalid; kUnavailable if it took too long or went away). Calls
/// `done` once, on the stream's thread.
void upgrade_to_web_socket(tls::Stream stream, const WebSocketSettings& settings,
                           std::function<void(Result<std::shared_ptr<WebSocket>>)> done);

}  // namespace millrace::gateway
