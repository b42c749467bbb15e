#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>
#include <millrace/tls/handshake_gate.hpp>
#include <millrace/tls/proxy_header.hpp>
#include <millrace/tls/server_context.hpp>
#include <millrace/tls/strangers.hpp>

namespace boost::asio {
class io_context;
}

namespace millrace::http {

enum class Method { kGet, kHead, kPost, kPut, kDelete, kOptions, kPatch, kOther };
[[nodiscard]] std::string_view to_string(Method method);

/// A complete request. Valid only during the handler's call; copy what must live longer.
class Request {
 public:
  virtual ~Request() = default;
  [[nodiscard]] virtual Method method() const = 0;
  [[nodiscard]] virtual std::string_view path() const = 0;   ///< without query; as sent, not decoded
  [[nodiscard]] virtual std::string_view query() const = 0;  ///< behind `?`, empty if none
  [[nodiscard]] virtual std::string_view body() const = 0;
  /// Value of the field (name compared without case); none if it is absent. Of several, the first.
  [[nodiscard]] virtual std::optional<std::string_view> header(std::string_view name) const = 0;
  [[nodiscard]] virtual std::size_t header_count(std::string_view name) const = 0;
  [[nodiscard]] virtual const Address& peer() const = 0;
  /// The certificates that the client has shown, as of tls::Session::peer_chain(); empty without TLS.
  [[nodiscard]] virtual const std::vector<std::string>& peer_chain() const = 0;
};

struct Response {
  int status = 200;
  std::string content_type;  ///< empty: no body
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Date, Content-Length and Connection are the server's
};

/// RFC 9457 problem+json. `type` is a stable path such as `/problems/invalid-payload`; `extra` members are appended as
/// raw JSON (`"limit":3`), empty for none.
[[nodiscard]] Response problem(int status, std::string_view type, std::string_view title, std::string_view detail,
                               std::string_view extra = {});

/// Escapes `text` as a JSON string with its quotes.
[[nodiscard]] std::string json_quoted(std::string_view text);

/// What a BodyStream tells; on the connection's io thread, must not block.
struct BodyEvents {
  std::function<void()> written = [] {};  ///< the system took the piece: the next one may be given
  /// The client went away, closed its side or took nothing for ServerSettings::write_timeout. Nothing else is told
  /// then.
  std::function<void()> gone = [] {};
};

/// The body of an answer, sent in pieces as they come: chunked, to HTTP/1.0 up to the end of the connection. Copyable
/// handle; any thread, every call returns at once. Holds one piece: the next one is given after BodyEvents::written.
/// Where all handles are dropped before end() the connection is cut, so that the client knows that the body is not
/// whole.
class BodyStream {
 public:
  class Slot;
  explicit BodyStream(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
  void write(std::string piece) const;  ///< of at least one byte
  void end() const;

 private:
  std::shared_ptr<Slot> slot_;
};

/// The right to answer one request, once. Copyable handle; send() from any thread, returns at once; on the io thread
/// that the connection lives on it writes without a further hop. A request whose every handle is dropped unanswered
/// gets 500. Answers leave in the order of their requests (pipelining). Sending to a connection that is gone does
/// nothing.
class Responder {
 public:
  class Slot;
  explicit Responder(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
  void send(Response response) const;
  /// Answers with a body that comes in pieces; of `head` the body counts for nothing.
  [[nodiscard]] BodyStream stream(Response head, BodyEvents events) const;
  /// Index of the connection's io_context among those the server was started with: to batch what is posted there.
  [[nodiscard]] std::size_t io_index() const;

 private:
  std::shared_ptr<Slot> slot_;
};

/// Runs on the connection's io thread; must not block.
using Handler = std::function<void(const Request&, Responder)>;

/// Things worth counting; called on io threads.
struct Observer {
  std::function<void(int status, std::chrono::nanoseconds took)> answered = [](int, std::chrono::nanoseconds) {};
  std::function<void(int delta)> connections = [](int) {};
  /// A request that never reached the handler: `crowded_address` (before its first byte), `header_timeout`,
  /// `malformed`, `body_too_large`, `headers_too_large`, ...
  std::function<void(std::string_view reason)> refused = [](std::string_view) {};
  /// A TLS handshake: `full`, `resumed`, `failed`, `timeout`.
  std::function<void(std::string_view outcome)> handshake = [](std::string_view) {};
};

struct ServerSettings {
  Address address;
  std::shared_ptr<const tls::ServerContext> tls;        ///< null: HTTP without TLS
  tls::Networks balancers;                              ///< whose connections begin with a PROXY header
  std::chrono::milliseconds handshake_timeout{10'000};  ///< of the PROXY header and the TLS handshake
  std::shared_ptr<tls::HandshakeGate> handshakes;       ///< null: as many at once as there are connections
  /// Null: an address may have any number of connections. Else one is known once it was answered below 400.
  std::shared_ptr<tls::Strangers> strangers;
  std::size_t max_body_bytes = 256 * 1024;
  std::size_t max_header_bytes = 16 * 1024;
  std::chrono::milliseconds header_timeout{10'000};  ///< from the first byte of a request to the end of its header
  std::chrono::milliseconds body_timeout{30'000};
  std::chrono::milliseconds idle_timeout{60'000};  ///< between requests
  std::chrono::milliseconds write_timeout{30'000};
  std::size_t max_connections = 10'000;
  std::size_t max_pipelined = 64;  ///< requests of one connection that wait for their answer; then it is not read on
};

/// HTTP/1.1 (RFC 9112) server on io_contexts of its user, whose threads run them (one thread each). Connections are
/// dealt out in turn. Chunked bodies, Expect: 100-continue, keep-alive, pipelining, answers in pieces. What the
/// protocol forbids is answered precisely (400, 408, 411 where needed, 413, 414, 431, 501, 505) and closed; ambiguous
/// framing (both Content-Length and Transfer-Encoding, differing lengths, bare CR or LF tricks) is refused (RFC 9112
/// section 6.3 and 11.2).
class Server {
 public:
  /// kUnavailable names the address if it is taken. Port 0 picks a free one.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(const ServerSettings& settings,
                                                             std::span<boost::asio::io_context* const> contexts,
                                                             Handler handler, Observer observer = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] const Address& address() const;
  /// No new connections; idle ones are closed, the others after the answers they wait for. Any thread; returns at once.
  void stop_intake();
  /// Open connections. Any thread.
  [[nodiscard]] std::size_t connections() const;
  /// Closes what is still open. Any thread; returns when no handler runs or will run any more (the contexts must still
  /// run).
  void close();

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace millrace::http
