#include "ticket_keys.hpp"

#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace millrace::tls {
namespace {

int context_index() {
  static const int kIndex = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return kIndex;
}

bool set_mac(EVP_MAC_CTX* mac, TicketKeys::Key& key) {
  char digest[] = "SHA256";
  const std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, static_cast<char*>(digest), 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, params.data()) == 1;
}

int seal(TicketKeys& keys, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
  auto key = keys.sealing(TicketKeys::Clock::now());
  if (!key || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
  std::copy(key->name.begin(), key->name.end(), name);
  const bool done =
      EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) == 1 && set_mac(mac, *key);
  return done ? 1 : -1;
}

int open(TicketKeys& keys, int version, const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) {
  auto found = keys.opening(name, TicketKeys::Clock::now());
  if (!found) return 0;  // a full handshake
  const bool done = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, found->key.cipher.data(), iv) == 1 &&
                    set_mac(mac, found->key);
  if (!done) return -1;
  // RFC 8446 appendix C.4: a ticket of TLS 1.3 is for one connection, so the client needs its next one.
  const bool another = !found->newest || version == TLS1_3_VERSION;
  return another ? 2 : 1;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int sealing) {
  auto* keys = static_cast<TicketKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index()));
  if (keys == nullptr) return -1;
  return sealing != 0 ? seal(*keys, name, iv, cipher, mac) : open(*keys, SSL_version(ssl), name, iv, cipher, mac);
}

}  // namespace

bool TicketKeys::rotate(Clock::time_point now) {
  if (newest_ && now - newest_->made < kPeriod) return true;
  Key fresh;
  fresh.made = now;
  const auto fill = [](auto& bytes) { return RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1; };
  if (!fill(fresh.name) || !fill(fresh.cipher) || !fill(fresh.mac)) return false;
  // One that sealed its last ticket long ago opens none that is still good.
  const bool recent = newest_ && now - newest_->made < 2 * kPeriod;
  before_ = recent ? newest_ : std::nullopt;
  newest_ = fresh;
  return true;
}

std::optional<TicketKeys::Key> TicketKeys::sealing(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!rotate(now)) return std::nullopt;
  return newest_;
}

std::optional<TicketKeys::Opening> TicketKeys::opening(const unsigned char* name, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!rotate(now)) return std::nullopt;
  const auto named = [&](const std::optional<Key>& key) {
    return key && std::equal(key->name.begin(), key->name.end(), name);
  };
  if (named(newest_)) return Opening{*newest_, true};
  if (named(before_)) return Opening{*before_, false};
  return std::nullopt;
}

void TicketKeys::install(SSL_CTX& context) {
  SSL_CTX_set_ex_data(&context, context_index(), this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(&context, on_ticket);
  SSL_CTX_set_timeout(&context, static_cast<long>(std::chrono::seconds(kPeriod).count()));
}

}  // namespace millrace::tls
