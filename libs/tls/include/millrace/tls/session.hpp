#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/tls/client_context.hpp>
#include <millrace/tls/server_context.hpp>

struct ssl_st;
struct ssl_session_st;

namespace millrace::tls {

/// What a step of a session came to.
struct Step {
  enum class Kind {
    kDone,
    kWantRead,   ///< again when the socket can be read
    kWantWrite,  ///< again when it can be written; a write with the same bytes
    kEnd,        ///< the peer has closed
    kFailed,     ///< Session::fault() says why; the connection is lost
  };
  Kind kind = Kind::kDone;
  std::size_t bytes = 0;
};

/// A session that a client may resume later, on another connection.
using Ticket = std::shared_ptr<ssl_session_st>;

/// TLS on one connected, non-blocking socket, whose descriptor it uses and does not own. Never blocks; no signal on a
/// broken pipe. One thread at a time.
class Session {
 public:
  [[nodiscard]] static Result<Session> accept(int descriptor, const ServerContext& context);
  /// `server_name` goes into SNI and must be the certificate's: a name or an IP number.
  [[nodiscard]] static Result<Session> connect(int descriptor, const ClientContext& context,
                                               const std::string& server_name, const Ticket& ticket);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  [[nodiscard]] Step handshake();
  [[nodiscard]] Step read(void* data, std::size_t size);
  [[nodiscard]] Step write(const void* data, std::size_t size);
  /// Bytes have come that read() may take without the socket.
  [[nodiscard]] bool has_pending() const;
  /// Tells the peer that nothing more comes (close_notify), if the socket takes it now.
  void shutdown();

  /// After kFailed.
  [[nodiscard]] const std::string& fault() const { return fault_; }

  // After the handshake:
  [[nodiscard]] bool resumed() const;
  [[nodiscard]] std::string_view alpn() const;
  /// What the peer has shown, DER, its own first and then what it sent with it; empty without a certificate. Of a
  /// resumed session what the first one had. Copies.
  [[nodiscard]] std::vector<std::string> peer_chain() const;
  /// The newest ticket of the server (a client's; null if none has come).
  [[nodiscard]] Ticket ticket() const;

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  struct Tickets;

  explicit Session(ssl_st* ssl);
  [[nodiscard]] Step step(int result, std::size_t bytes);

  std::unique_ptr<ssl_st, Free> ssl_;
  std::shared_ptr<const ServerContext::Certificates> certificates_;  // of a server, until the handshake is done
  std::unique_ptr<Tickets> tickets_;                                 // of a client
  std::string fault_;
};

}  // namespace millrace::tls
