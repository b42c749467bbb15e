#pragma once

#include <memory>
#include <string>

#include <openssl/x509v3.h>

#include <millrace/base/time.hpp>
#include <millrace/credentials/certificate.hpp>

namespace millrace::credentials {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

using CertificateHandle = std::unique_ptr<X509, FreeWith<X509_free>>;

/// Everything but names is read once, when it is made.
struct Certificate::Data {
  CertificateHandle x509;
  std::string der;
  Sha256 fingerprint{};
  TimeUs not_before_us = 0;
  TimeUs not_after_us = 0;
  bool may_sign = false;
};

}  // namespace millrace::credentials
