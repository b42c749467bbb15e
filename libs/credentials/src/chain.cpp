#include <ctime>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "openssl_handles.hpp"

namespace millrace::credentials {
namespace {

constexpr std::size_t kMostSubjectBytes = 128;
// 112 bits: RSA from 2048 on, SHA-224 and better (SSL_CTX_set_security_level(3)).
constexpr int kStrength = 2;

using StoreHandle = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using ContextHandle = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using StackHandle = std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;

Error refused(std::string what) { return {ErrorKind::kUnauthenticated, std::move(what)}; }

Error no_memory() { return {ErrorKind::kInternal, "no memory for the check of a certificate"}; }

// Whoever comes writes the subject: quoted and short.
std::string quoted(const Certificate& certificate) {
  std::string subject = certificate.subject();
  if (subject.size() > kMostSubjectBytes) subject = subject.substr(0, kMostSubjectBytes) + "…";
  return "'" + subject + "'";
}

Result<std::vector<Certificate>> parse(const std::vector<std::string>& chain_der) {
  if (chain_der.empty()) return refused("there is no certificate");
  if (chain_der.size() > kMostChain) return refused("a chain may have 8 certificates");
  std::vector<Certificate> chain;
  for (const std::string& der : chain_der) {
    auto one = Certificate::from_der(der);
    if (!one) return refused("certificate " + std::to_string(chain.size() + 1) + ": " + one.error().message);
    chain.push_back(std::move(one).value());
  }
  return chain;
}

std::string reason(int code, const Certificate& authority) {
  switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "was not issued under " + quoted(authority) + ", or an intermediate certificate is missing";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "is not valid yet";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "is not valid any more";
    case X509_V_ERR_INVALID_PURPOSE:
      return "is not meant for TLS clients (its key usage)";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return "has too many certificates between it and the authority";
    default:
      return std::string("does not stand: ") + X509_verify_cert_error_string(code);
  }
}

std::string subject_at(X509_STORE_CTX& context, const Certificate& leaf) {
  X509* current = X509_STORE_CTX_get_current_cert(&context);
  if (current == nullptr) return quoted(leaf);
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(current, &bytes);
  if (size <= 0) return quoted(leaf);
  const auto certificate =
      Certificate::from_der({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
  OPENSSL_free(bytes);
  return certificate ? quoted(*certificate) : quoted(leaf);
}

bool set_rules(X509_STORE_CTX& context, TimeUs now) {
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(&context);
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_depth(rules, static_cast<int>(kMostChain));
  X509_VERIFY_PARAM_set_auth_level(rules, kStrength);
  X509_VERIFY_PARAM_set_time(rules, static_cast<std::time_t>(now / kUsPerSecond));
  return X509_STORE_CTX_set_purpose(&context, X509_PURPOSE_SSL_CLIENT) == 1;
}

}  // namespace

Status verify_chain(const std::vector<std::string>& chain_der, const Certificate& authority, TimeUs now) {
  const auto chain = parse(chain_der);
  if (!chain) return chain.error();
  const Certificate& leaf = chain->front();
  if (leaf.may_sign()) return refused("certificate " + quoted(leaf) + " is an authority's, not a device's");

  const StoreHandle store(X509_STORE_new());
  const ContextHandle context(X509_STORE_CTX_new());
  const StackHandle others(sk_X509_new_null());
  if (!store || !context || !others) return no_memory();
  if (X509_STORE_add_cert(store.get(), authority.data_->x509.get()) != 1) return no_memory();
  for (const Certificate& one : *chain) {
    if (&one != &leaf && sk_X509_push(others.get(), one.data_->x509.get()) == 0) return no_memory();
  }
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.data_->x509.get(), others.get()) != 1) return no_memory();
  if (!set_rules(*context, now)) return no_memory();

  const bool stands = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (stands) return {};
  const int code = X509_STORE_CTX_get_error(context.get());
  return refused("certificate " + subject_at(*context, leaf) + " " + reason(code, authority));
}

}  // namespace millrace::credentials
