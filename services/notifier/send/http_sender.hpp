#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "send/webhook.hpp"

namespace millrace::notifier {

enum class Addresses { kPublicOnly, kAll };

struct HttpSenderOptions {
  std::chrono::milliseconds timeout{10'000};  ///< of one request, from the name's look-up to the answer's header
  Addresses addresses = Addresses::kPublicOnly;
};

/// One connection for each request: HTTP/1.1 (RFC 9112) with TLS 1.2 or 1.3, the system's CA store (OpenSSL's
/// SSL_CERT_FILE and SSL_CERT_DIR hold) and host name check. A name is looked up once, its addresses are checked, and
/// the connection goes to one of those: a later answer of the name server changes nothing. Redirects are not followed.
/// Of an answer at most 16 KiB of header and 16 KiB of body are read.
///
/// Names are looked up by the system's resolver on threads of their own; a look-up cannot be cut short, so a request
/// to a name whose server hangs may take longer than the time-out (resolv.conf says how long).
class HttpSender final : public Sender {
 public:
  /// Throws boost::system::system_error if the system has no usable TLS.
  explicit HttpSender(const HttpSenderOptions& options);
  ~HttpSender() override;  ///< stop()

  void send(Outgoing request, OnAnswer on_answer) override;

  /// Ends the threads; requests under way get no answer. Waits for look-ups under way.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::notifier
