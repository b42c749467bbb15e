// What lies between a link's bytes and its socket where that is not plain TCP.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/tls/session.hpp>

namespace millrace::fleet {

struct WireOptions {
  std::shared_ptr<tls::ClientContext> tls;  ///< null: none
  std::string server_name;                  ///< in the certificate
  bool web_socket = false;

  [[nodiscard]] bool plain() const { return !tls && !web_socket; }
};

/// TLS (a later connection resumes the session of an earlier one) and the client's side of a WebSocket (RFC 6455), over
/// one non-blocking socket after another.
class Wire {
 public:
  enum class Progress { kDone, kWaiting, kBroken };

  explicit Wire(const WireOptions& options) : options_(options) {}

  /// A new connection over the socket. False: TLS cannot be set up.
  [[nodiscard]] bool start(int descriptor);
  /// Handshake and upgrade; again whenever the socket is ready, until kDone.
  [[nodiscard]] Progress open();
  /// Appends what has come to `input`. kWaiting: nothing more for now.
  [[nodiscard]] Progress receive(std::string& input);
  /// Takes bytes from the front of `output`. kWaiting: the socket takes no more for now.
  [[nodiscard]] Progress send(std::string& output);
  /// The socket must become writable before it goes on.
  [[nodiscard]] bool wants_write() const { return wants_write_; }

 private:
  [[nodiscard]] Progress read_bytes(std::string& input);
  [[nodiscard]] Progress write_bytes(std::string& output);
  [[nodiscard]] Progress upgrade();
  [[nodiscard]] Progress take_frames(std::string& input);
  void put_frame(unsigned opcode, std::string_view payload);

  const WireOptions& options_;
  int descriptor_ = -1;
  std::optional<tls::Session> session_;
  tls::Ticket ticket_;
  std::string received_;  // of a WebSocket: bytes of frames that are not whole yet
  std::string framed_;    // of a WebSocket: frames on their way out
  bool secured_ = false;
  bool asked_ = false;
  bool upgraded_ = false;
  bool wants_write_ = false;
};

}  // namespace millrace::fleet
