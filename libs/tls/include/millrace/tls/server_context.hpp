#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::tls {

/// PEM files: the certificate with its intermediates behind it, and its key without a pass phrase.
struct KeyPair {
  std::string certificate_file;
  std::string key_file;
};

enum class ClientCertificate {
  kNone,       ///< not asked for
  kRequested,  ///< asked for; a client without one is let in, and of one with any the possession of the key is proven.
               ///< Whom it stands for is not decided here: Session::peer_chain() says what came.
};

struct ServerSettings {
  std::vector<KeyPair> identities;  ///< chosen by the client's SNI; the first where none matches
  std::vector<std::string> alpn;    ///< protocols spoken (RFC 7301); a client that offers only others is refused
  ClientCertificate client_certificate = ClientCertificate::kNone;
};

/// Key pairs of two settings, each file names with commas between. kInvalid if the counts differ or there is none.
[[nodiscard]] Result<std::vector<KeyPair>> parse_key_pairs(const std::string& certificate_files,
                                                           const std::string& key_files);

/// What the handshakes of one listener need: TLS 1.2 with forward secrecy and AEAD, or TLS 1.3; stateless session
/// tickets (RFC 8446 section 4.6.1, RFC 5077) under keys that rotate and survive reload(); no early data, no
/// renegotiation, no compression. Thread-safe.
class ServerContext {
 public:
  /// Reads the files. kInvalid names the file that cannot be read or does not fit.
  [[nodiscard]] static Result<std::shared_ptr<ServerContext>> create(ServerSettings settings);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  /// Reads the files again: handshakes from now on have the new certificates, connections go on, tickets stay good.
  /// After an Error the old certificates stay. Blocks for the files.
  [[nodiscard]] Status reload();
  /// Whether the files are others than those that were read last, by their time, size and inode. Blocks for stat(2).
  [[nodiscard]] bool changed() const;
  /// When the first of the certificates ends.
  [[nodiscard]] std::chrono::system_clock::time_point expires() const;

  struct Certificates;
  /// For Session.
  [[nodiscard]] std::shared_ptr<const Certificates> certificates() const;

 private:
  struct Impl;
  explicit ServerContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::tls
