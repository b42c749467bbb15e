#pragma once

#include <string>
#include <vector>

#include <openssl/ssl.h>

namespace millrace::tls {

/// Asks clients for a certificate, takes any, and seals what came beside it into their tickets: OpenSSL keeps only the
/// client's own certificate there, and a resumed session needs the intermediates as much as the first.
void request_client_certificate(SSL_CTX& context);

/// See Session::peer_chain().
[[nodiscard]] std::vector<std::string> read_peer_chain(SSL& ssl);

}  // namespace millrace::tls
