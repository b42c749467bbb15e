#include "peer_chain.hpp"

#include <string_view>

#include <openssl/x509.h>

namespace millrace::tls {
namespace {

constexpr std::size_t kLengthBytes = 3;
constexpr unsigned kByteBits = 8;

std::string der_of(X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0) return "";
  std::string der(static_cast<std::size_t>(size), '\0');
  auto* out = reinterpret_cast<unsigned char*>(der.data());
  i2d_X509(certificate, &out);
  return der;
}

// As on the wire (RFC 8446 section 4.4.2): three bytes of length before each.
void append(std::string& out, std::string_view der) {
  for (std::size_t i = kLengthBytes; i-- > 0;) out.push_back(static_cast<char>(der.size() >> (i * kByteBits) & 0xFF));
  out += der;
}

std::vector<std::string> split(std::string_view packed) {
  std::vector<std::string> all;
  while (packed.size() >= kLengthBytes) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i) size = size << kByteBits | static_cast<unsigned char>(packed[i]);
    packed.remove_prefix(kLengthBytes);
    if (size > packed.size()) break;
    all.emplace_back(packed.substr(0, size));
    packed.remove_prefix(size);
  }
  return all;
}

// A server's chain is without the client's own certificate.
int seal_chain(SSL* ssl, void* /*context*/) {
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  if (chain == nullptr || sk_X509_num(chain) == 0) return 1;
  std::string packed;
  for (int i = 0; i < sk_X509_num(chain); ++i) append(packed, der_of(sk_X509_value(chain, i)));
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), packed.data(), packed.size());
}

SSL_TICKET_RETURN on_opened(SSL* /*ssl*/, SSL_SESSION* /*session*/, const unsigned char* /*name*/, std::size_t /*size*/,
                            SSL_TICKET_STATUS status, void* /*context*/) {
  switch (status) {
    case SSL_TICKET_SUCCESS:
      return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW:
      return SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
      return SSL_TICKET_RETURN_IGNORE_RENEW;
    default:
      return SSL_TICKET_RETURN_ABORT;
  }
}

// Proof of possession is the handshake's own; who may come in is decided above, from the registry's copy.
int take_any(X509_STORE_CTX* store, void* /*context*/) {
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

}  // namespace

void request_client_certificate(SSL_CTX& context) {
  SSL_CTX_set_verify(&context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(&context, take_any, nullptr);
  SSL_CTX_set_session_ticket_cb(&context, seal_chain, on_opened, nullptr);
}

std::vector<std::string> read_peer_chain(SSL& ssl) {
  std::vector<std::string> all;
  X509* own = SSL_get0_peer_certificate(&ssl);
  if (own == nullptr) return all;
  all.push_back(der_of(own));
  if (SSL_session_reused(&ssl) != 0) {
    void* data = nullptr;
    std::size_t size = 0;
    if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(&ssl), &data, &size) == 1 && data != nullptr) {
      for (std::string& der : split({static_cast<const char*>(data), size})) all.push_back(std::move(der));
    }
    return all;
  }
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(&ssl);
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    // A client's view of a server has the server's own certificate in the chain, a server's view has not.
    if (X509_cmp(certificate, own) != 0) all.push_back(der_of(certificate));
  }
  return all;
}

}  // namespace millrace::tls
