#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

namespace millrace::tls {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

using ContextHandle = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using CertificateHandle = std::unique_ptr<X509, FreeWith<X509_free>>;

/// The newest error of this thread's queue as text, and clears the queue.
[[nodiscard]] std::string take_error();

/// What both sides have in common: versions, ciphers, modes. Null if OpenSSL refuses.
[[nodiscard]] ContextHandle make_context(const SSL_METHOD* method);

/// Empty, or what is wrong with the files.
[[nodiscard]] std::string use_key_pair(SSL_CTX& context, const std::string& certificate_file,
                                       const std::string& key_file);

/// Names with their length before each, as ALPN has them on the wire (RFC 7301 section 3.1).
[[nodiscard]] std::string alpn_wire(const std::vector<std::string>& protocols);

/// Makes `ssl` read and write the descriptor, without SIGPIPE. False: out of memory.
[[nodiscard]] bool attach_socket(SSL& ssl, int descriptor);

}  // namespace millrace::tls
