// Certificates made while a test runs.
#pragma once

#include <atomic>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace millrace::test {

struct TestCertificate {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;

  [[nodiscard]] std::string der() const {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate.get(), &bytes);
    std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return out;
  }
  [[nodiscard]] std::string pem() const {
    return written([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  }
  [[nodiscard]] std::string key_pem() const {
    return written(
        [this](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }

 private:
  template <typename Write>
  static std::string written(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
    write(bio.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    return {text, static_cast<std::size_t>(size)};
  }
};

/// What a certificate shall be. Seconds count from now.
struct CertificateWish {
  std::string common_name;
  /// NID and value as in openssl.cnf.
  std::vector<std::pair<int, std::string>> extensions = {{NID_basic_constraints, "critical,CA:FALSE"}};
  long from_s = -3600;
  long to_s = 3600;
  /// An EC curve, or RSA of so many bits.
  std::string curve = "P-256";
  std::size_t rsa_bits = 0;
};

/// Signed by `issuer`, or by itself without one.
inline TestCertificate make_certificate(const CertificateWish& wish, const TestCertificate* issuer = nullptr) {
  EVP_PKEY* key = wish.rsa_bits > 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", wish.rsa_bits)
                                    : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", wish.curve.c_str());
  TestCertificate made{{key, EVP_PKEY_free}, {X509_new(), X509_free}};
  X509* raw = made.certificate.get();
  static std::atomic<long> serial{static_cast<long>(std::time(nullptr)) * 1000};
  X509_set_version(raw, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(raw), serial++);
  X509_gmtime_adj(X509_getm_notBefore(raw), wish.from_s);
  X509_gmtime_adj(X509_getm_notAfter(raw), wish.to_s);
  X509_set_pubkey(raw, key);
  // With its length, so that a name may have a NUL.
  X509_NAME_add_entry_by_NID(X509_get_subject_name(raw), NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.common_name.data()),
                             static_cast<int>(wish.common_name.size()), -1, 0);
  const TestCertificate& signer = issuer != nullptr ? *issuer : made;
  X509_set_issuer_name(raw, X509_get_subject_name(signer.certificate.get()));
  for (const auto& [kind, value] : wish.extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    X509_add_ext(raw, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(raw, signer.key.get(), EVP_sha256());
  return made;
}

inline TestCertificate make_authority(const std::string& name, const TestCertificate* issuer = nullptr) {
  return make_certificate(
      {.common_name = name,
       .extensions = {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign,cRLSign"}}},
      issuer);
}

inline TestCertificate make_leaf(const std::string& name, const TestCertificate& issuer) {
  return make_certificate({.common_name = name}, &issuer);
}

}  // namespace millrace::test
