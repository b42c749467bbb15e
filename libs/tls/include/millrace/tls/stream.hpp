#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include <millrace/tls/session.hpp>

namespace millrace::tls {

/// A TCP connection, with TLS or without: an AsyncReadStream and AsyncWriteStream of Boost.Asio. Without TLS every call
/// is the socket's own. One read and one write may be under way at a time; everything on the thread of the socket.
class Stream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // NOLINTBEGIN(readability-identifier-naming): Asio's names
  using executor_type = Socket::executor_type;
  using next_layer_type = Socket;
  using lowest_layer_type = Socket::lowest_layer_type;
  // NOLINTEND(readability-identifier-naming)
  using Error = boost::system::error_code;

  explicit Stream(Socket socket) : socket_(std::move(socket)) {}

  [[nodiscard]] executor_type get_executor() { return socket_.get_executor(); }
  [[nodiscard]] Socket& socket() { return socket_; }
  [[nodiscard]] Socket& next_layer() { return socket_; }
  [[nodiscard]] lowest_layer_type& lowest_layer() { return socket_.lowest_layer(); }
  /// Null without TLS.
  [[nodiscard]] const Session* session() const { return session_ ? &*session_ : nullptr; }

  /// From here on it is TLS, as the server; async_handshake() comes next.
  [[nodiscard]] Status secure(const ServerContext& context) {
    Error error;
    socket_.native_non_blocking(true, error);
    if (error) return millrace::Error{ErrorKind::kUnavailable, error.message()};
    auto session = Session::accept(socket_.native_handle(), context);
    if (!session.ok()) return session.error();
    session_.emplace(std::move(*session));
    return {};
  }

  /// void(error_code). After an error session()->fault() says why.
  template <typename Token>
  auto async_handshake(Token&& token) {
    return boost::asio::async_compose<Token, void(Error)>(
        [this](auto& self, Error error = {}) {
          if (over(error)) return self.complete(error);
          const Step step = session_->handshake();
          if (!await(step, self)) self.complete(error_of(step));
        },
        token, socket_);
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(Error, std::size_t)>(
        [this](auto handler, const Buffers& into) {
          if (!session_) {
            socket_.async_read_some(into, std::move(handler));
          } else {
            read_secure(boost::asio::mutable_buffer(first(into)), std::move(handler));
          }
        },
        token, buffers);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(Error, std::size_t)>(
        [this](auto handler, const Buffers& from) {
          if (!session_) {
            socket_.async_write_some(from, std::move(handler));
          } else {
            write_secure(gather(from), std::move(handler));
          }
        },
        token, buffers);
  }

  /// The peer gets to know that nothing more comes (close_notify and FIN); reading goes on.
  Error shutdown_send() {
    Error error;
    if (session_) session_->shutdown();
    socket_.shutdown(Socket::shutdown_send, error);
    return error;
  }

  /// Ends both directions; what is under way ends with an error.
  void close() {
    Error ignored;  // the peer may be gone already
    if (session_) session_->shutdown();
    socket_.shutdown(Socket::shutdown_both, ignored);
    socket_.close(ignored);
  }

 private:
  static constexpr std::size_t kMostGathered = 16 * 1024;  // one TLS record

  template <typename Buffers>
  static auto first(const Buffers& buffers) {
    auto it = boost::asio::buffer_sequence_begin(buffers);
    const auto end = boost::asio::buffer_sequence_end(buffers);
    while (it != end && (*it).size() == 0) ++it;
    return it == end ? std::decay_t<decltype(*it)>{} : *it;
  }

  // One record for a small sequence (a WebSocket header and what follows it) instead of one a buffer.
  template <typename Buffers>
  boost::asio::const_buffer gather(const Buffers& buffers) {
    const boost::asio::const_buffer front = first(buffers);
    const std::size_t size = boost::asio::buffer_size(buffers);
    if (front.size() == size || front.size() >= kMostGathered) return front;
    gathered_.resize(std::min(size, kMostGathered));
    boost::asio::buffer_copy(boost::asio::buffer(gathered_), buffers);
    return boost::asio::buffer(gathered_);
  }

  // Between two turns the stream may have been closed; its descriptor is then nobody's, or another connection's.
  bool over(Error& error) {
    if (!error && !socket_.is_open()) error = boost::asio::error::operation_aborted;
    return static_cast<bool>(error);
  }

  // Waits for the socket if the step wants it.
  template <typename Self>
  bool await(const Step& step, Self& self) {
    if (step.kind == Step::Kind::kWantRead) {
      socket_.async_wait(Socket::wait_read, std::move(self));
    } else if (step.kind == Step::Kind::kWantWrite) {
      socket_.async_wait(Socket::wait_write, std::move(self));
    } else {
      return false;
    }
    return true;
  }

  static Error error_of(const Step& step) {
    if (step.kind == Step::Kind::kDone) return {};
    if (step.kind == Step::Kind::kEnd) return boost::asio::error::eof;
    return make_error_code(boost::system::errc::protocol_error);
  }

  // OpenSSL is asked when there is something to read, so that a read that waits has cost nothing yet.
  template <typename Handler>
  void read_secure(boost::asio::mutable_buffer into, Handler handler) {
    boost::asio::async_compose<Handler, void(Error, std::size_t)>(
        [this, into, started = false](auto& self, Error error = {}) mutable {
          if (started && over(error)) return self.complete(error, 0);
          if (!std::exchange(started, true)) {
            if (session_->has_pending() || into.size() == 0) return boost::asio::post(get_executor(), std::move(self));
            return socket_.async_wait(Socket::wait_read, std::move(self));
          }
          if (into.size() == 0) return self.complete({}, 0);
          const Step step = session_->read(into.data(), into.size());
          if (!await(step, self)) self.complete(error_of(step), step.bytes);
        },
        handler, socket_);
  }

  // Written at once if the socket takes it; only the handler waits for its turn.
  template <typename Handler>
  void write_secure(boost::asio::const_buffer from, Handler handler) {
    boost::asio::async_compose<Handler, void(Error, std::size_t)>(
        [this, from, waited = false, turn = false, done = Step{}](auto& self, Error error = {}) mutable {
          if (waited && over(error)) return self.complete(error, 0);
          if (!turn) {
            if (!socket_.is_open()) {
              done.kind = Step::Kind::kFailed;
            } else if (from.size() > 0) {
              done = session_->write(from.data(), from.size());
            }
            // Set before: what waits takes this state along.
            const bool first_try = !std::exchange(waited, true);
            if (await(done, self)) return;
            if (first_try) {
              turn = true;
              return boost::asio::post(get_executor(), std::move(self));
            }
          }
          if (gathered_.capacity() > 0) std::string().swap(gathered_);
          self.complete(error_of(done), done.bytes);
        },
        handler, socket_);
  }

  Socket socket_;
  std::optional<Session> session_;
  std::string gathered_;  // what is being written of a sequence
};

}  // namespace millrace::tls
