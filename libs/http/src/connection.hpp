#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <millrace/http/server.hpp>
#include <millrace/tls/opening.hpp>
#include <millrace/tls/stream.hpp>

#include "wire.hpp"

namespace millrace::http {

class Connection;

/// What the connections of a server share. The sets belong to the thread of their io_context.
struct Shared {
  ServerSettings settings;
  Handler handler;
  Observer observer;
  std::vector<boost::asio::io_context*> contexts;
  std::vector<std::unordered_set<Connection*>> open;
  std::atomic<std::size_t> connections{0};
  std::atomic<std::size_t> opening{0};  // accepted, but not as far as HTTP
  std::atomic<bool> draining{false};
};

/// One HTTP/1.1 connection; everything runs on the thread of its io_context. Reading and answering are apart: requests
/// are parsed ahead up to max_pipelined, answers leave in the order of their requests.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tls::Opened opened, std::size_t io_index, std::shared_ptr<Shared> shared);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  /// No further requests; closes when the answers that are awaited are written.
  void drain();
  void abort();

  void answer(std::uint64_t sequence, Response response);

  void begin_body(std::uint64_t sequence, Response head, BodyEvents events);
  void write_body(std::uint64_t sequence, std::string piece);
  void end_body(std::uint64_t sequence);
  void cut_body(std::uint64_t sequence);

  [[nodiscard]] boost::asio::any_io_executor executor() { return stream_.get_executor(); }
  [[nodiscard]] std::size_t io_index() const { return io_index_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  enum class Reading {
    kIdle,    ///< between requests
    kHeader,  ///< the first byte of a request has come
    kBody,
    kEnded,  ///< the client has closed its side, or nothing more is wanted from it
  };

  /// An answer that comes in pieces.
  struct Body {
    BodyEvents events;
    Framing framing = Framing::kChunked;
    bool head_sent = false;
    bool ended = false;
    std::string piece;  // the one that is being written, up to `at`
    std::size_t at = 0;
  };

  /// A request that awaits its answer, or bytes that are written in its place (100 Continue).
  struct Entry {
    std::uint64_t sequence = 0;
    std::optional<Response> response;
    std::unique_ptr<Body> body;  // the response is the head of it
    bool is_http10 = false;
    Persistence persistence = Persistence::kKeepAlive;
    BodyForm form = BodyForm::kWhole;
    bool interim = false;
    Clock::time_point started;
  };

  void read();
  void on_read(const boost::system::error_code& error, std::size_t count);
  void process();
  [[nodiscard]] bool parse_some();
  [[nodiscard]] std::optional<Response> check_header();
  [[nodiscard]] std::optional<Response> check_framing();
  void on_header();
  void dispatch();
  void refuse(std::string_view reason, Response response);
  void refuse_parse(const boost::system::error_code& error);
  void enter(Reading reading);
  [[nodiscard]] Entry* entry_of(std::uint64_t sequence);
  [[nodiscard]] bool streams() const { return !entries_.empty() && entries_.front().body != nullptr; }
  void write();
  void write_head(const Entry& entry);
  [[nodiscard]] bool write_piece(Entry& entry);
  void tell_written();
  void on_written(const boost::system::error_code& error);
  void linger();
  void end();
  void arm_timer();
  void on_timer();
  [[nodiscard]] std::optional<Clock::time_point> deadline() const;

  tls::Stream stream_;
  boost::asio::steady_timer timer_;
  std::size_t io_index_;
  std::shared_ptr<Shared> shared_;
  Address peer_;
  std::vector<std::string> peer_chain_;
  tls::Strangers::Place stranger_;

  boost::beast::flat_buffer input_;
  std::optional<Parser> parser_;
  bool header_checked_ = false;
  Reading reading_ = Reading::kIdle;
  Clock::time_point reading_since_;
  Clock::time_point request_started_;
  bool read_running_ = false;

  std::deque<Entry> entries_;
  std::uint64_t next_sequence_ = 1;
  std::string output_;
  std::string writing_;
  bool write_running_ = false;
  Clock::time_point writing_since_;
  bool processing_ = false;
  bool close_after_write_ = false;
  bool client_ended_ = false;
  bool lingering_ = false;
  std::size_t lingering_bytes_ = 0;
  bool ended_ = false;
  std::optional<Clock::time_point> armed_for_;
};

/// Held by the Responder's copies; the last one to go answers 500 if nobody has answered. Keeps the connection alive:
/// while it reads nothing, nobody else does.
class Responder::Slot {
 public:
  Slot(std::shared_ptr<Connection> connection, std::uint64_t sequence);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  void send(Response response);
  [[nodiscard]] BodyStream stream(Response head, BodyEvents events);
  [[nodiscard]] std::size_t io_index() const { return io_index_; }

 private:
  std::shared_ptr<Connection> connection_;  // until the answer is given
  std::size_t io_index_;
  std::uint64_t sequence_;
  std::atomic<bool> answered_{false};
};

/// Held by the BodyStream's copies; the last one to go cuts what has not ended. Keeps the connection alive.
class BodyStream::Slot {
 public:
  Slot(std::shared_ptr<Connection> connection, std::uint64_t sequence)
      : connection_(std::move(connection)), sequence_(sequence) {}
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  void write(std::string piece);
  void end();

 private:
  const std::shared_ptr<Connection> connection_;  // null: the request was answered before
  const std::uint64_t sequence_;
  std::atomic<bool> ended_{false};
};

}  // namespace millrace::http
