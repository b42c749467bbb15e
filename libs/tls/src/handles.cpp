#include "handles.hpp"

#include <array>

#include <openssl/err.h>

namespace millrace::tls {
namespace {

// TLS 1.2 with forward secrecy and AEAD only; those of TLS 1.3 are all good.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256:P-384";
// A device's chain; what is longer is refused while it comes.
constexpr long kMostChainBytes = 16 * 1024;

// A key with a pass phrase must not ask for it on a terminal.
int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) { return -1; }

}  // namespace

std::string take_error() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  if (const char* reason = ERR_reason_error_string(code)) return reason;
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

ContextHandle make_context(const SSL_METHOD* method) {
  ContextHandle context(SSL_CTX_new(method));
  if (!context) return nullptr;
  SSL_CTX* raw = context.get();
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection gives its record buffers back, 34 KB otherwise.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_max_cert_list(raw, kMostChainBytes);
  SSL_CTX_set_default_passwd_cb(raw, no_pass_phrase);
  const bool done = SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION) == 1 &&
                    SSL_CTX_set_cipher_list(raw, kCiphers12) == 1 && SSL_CTX_set1_groups_list(raw, kGroups) == 1;
  return done ? std::move(context) : nullptr;
}

std::string use_key_pair(SSL_CTX& context, const std::string& certificate_file, const std::string& key_file) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(&context, certificate_file.c_str()) != 1) {
    return "the certificate in " + certificate_file + " cannot be used: " + take_error();
  }
  if (SSL_CTX_use_PrivateKey_file(&context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return "the key in " + key_file + " cannot be used with " + certificate_file + ": " + take_error();
  }
  if (SSL_CTX_check_private_key(&context) != 1) {
    return "the key in " + key_file + " is not that of " + certificate_file + ": " + take_error();
  }
  return "";
}

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    wire.push_back(static_cast<char>(protocol.size()));
    wire += protocol;
  }
  return wire;
}

}  // namespace millrace::tls
