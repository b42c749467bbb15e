#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/digest.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::credentials {

inline constexpr std::size_t kMostCertificateBytes = 16 * 1024;  ///< of the DER form
inline constexpr std::size_t kMostChain = 8;                     ///< certificates in a chain, the leaf too
inline constexpr std::size_t kMostNames = 32;                    ///< names of one kind that are looked at
inline constexpr std::size_t kMostPatternBytes = 256;

/// Where a name stands in a certificate.
enum class NameSource {
  kCommonName,  ///< CN of the subject
  kDnsName,     ///< dNSName, uniformResourceIdentifier and rfc822Name of the subject's alternative names
  kUri,         ///< (RFC 5280 section 4.2.1.6)
  kEmail,
};

/// An X.509 certificate (RFC 5280). A copy is a pointer. Thread-safe.
class Certificate {
 public:
  using NameSource = credentials::NameSource;

  /// Just one certificate; text around it is skipped. kInvalid for none, for a second one, for a key beside it.
  [[nodiscard]] static Result<Certificate> from_pem(std::string_view pem);
  /// kInvalid for what is not the DER form of one certificate and nothing else.
  [[nodiscard]] static Result<Certificate> from_der(std::string_view der);

  [[nodiscard]] const std::string& der() const;
  /// SHA-256 of der().
  [[nodiscard]] Sha256 fingerprint() const;
  [[nodiscard]] TimeUs not_before_us() const;
  [[nodiscard]] TimeUs not_after_us() const;
  /// Whether its key may sign certificates: an authority by its basic constraints, and by its key usage if it has one.
  [[nodiscard]] bool may_sign() const;
  /// RFC 2253, ASCII only.
  [[nodiscard]] std::string subject() const;
  /// The subject of the certificate that signed it, in the same form.
  [[nodiscard]] std::string issuer() const;
  /// UTF-8, in the order of the certificate, the first kMostNames. A name with a NUL in it is left out: it means one
  /// thing to whoever stops there and another to whoever does not. So is an alternative name that is not ASCII.
  [[nodiscard]] std::vector<std::string> names(NameSource source) const;

 private:
  struct Data;
  explicit Certificate(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  friend Status verify_chain(const std::vector<std::string>& chain_der, const Certificate& authority, TimeUs now);
  std::shared_ptr<const Data> data_;
};

/// Whether the leaf, the first of `chain_der`, is a client's (RFC 5280 section 4.2.1.12) that was issued under
/// `authority`, by itself or over intermediates of the chain, all of them in their time at `now`. The authority is the
/// only anchor, be it a root or an intermediate one; keys and signatures below 112 bits of strength are refused, so is
/// a leaf that may itself sign. kUnauthenticated says what is wrong with which certificate. Revocation lists are not
/// looked at. Takes some signature checks, up to milliseconds; thread-safe.
[[nodiscard]] Status verify_chain(const std::vector<std::string>& chain_der, const Certificate& authority, TimeUs now);

/// A pattern has just one `{device}` in it and at most kMostPatternBytes, none of them a control character. kInvalid.
[[nodiscard]] Status check_pattern(std::string_view pattern);

/// What stands in `name` where `pattern` has `{device}`, if all else is the same byte for byte and it is a device id.
[[nodiscard]] std::optional<std::string> device_of(std::string_view pattern, std::string_view name);

}  // namespace millrace::credentials
