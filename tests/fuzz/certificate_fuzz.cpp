// What a device or an operator shows as its certificate, password hashes of a registry entry, and patterns of names.
#include <algorithm>
#include <string>
#include <vector>

#include <millrace/base/ids.hpp>
#include <millrace/credentials/certificate.hpp>
#include <millrace/credentials/password.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::credentials;

constexpr TimeUs kNow = 1'800'000'000'000'000;

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void check_names(const Certificate& certificate) {
  for (const auto source : {NameSource::kCommonName, NameSource::kDnsName, NameSource::kUri, NameSource::kEmail}) {
    const auto names = certificate.names(source);
    require(names.size() <= kMostNames, "no more names than are looked at");
    for (const std::string& name : names) {
      require(!name.empty() && name.find('\0') == std::string::npos, "a name is a text without NUL");
      if (source != NameSource::kCommonName) require(is_ascii(name), "alternative names are ASCII");
    }
  }
  for (const std::string& text : {certificate.subject(), certificate.issuer()}) {
    require(is_ascii(text), "a subject is ASCII");
  }
}

void check_der(std::string_view bytes) {
  const auto certificate = Certificate::from_der(bytes);
  if (!certificate) {
    require(!certificate.error().message.empty(), "a refusal says why");
    return;
  }
  require(certificate->der() == bytes && bytes.size() <= kMostCertificateBytes, "a certificate is what was shown");
  check_names(*certificate);
  static_cast<void>(certificate->not_before_us() < certificate->not_after_us());
  const bool vouches = verify_chain({std::string(bytes)}, *certificate, kNow).ok();
  require(!vouches || !certificate->may_sign(), "a leaf that may sign is refused");
  static_cast<void>(verify_chain({std::string(bytes), std::string(bytes)}, *certificate, kNow));
}

void check_pem(std::string_view text) {
  const auto certificate = Certificate::from_pem(text);
  if (!certificate) return;
  const auto again = Certificate::from_der(certificate->der());
  require(again.ok() && again->fingerprint() == certificate->fingerprint(), "both forms are the same certificate");
  check_names(*certificate);
}

/// A pattern, and behind a line feed a name.
void check_pattern_and_name(std::string_view bytes) {
  const std::size_t line = std::min(bytes.find('\n'), bytes.size());
  const std::string_view pattern = bytes.substr(0, line);
  if (!check_pattern(pattern)) return;
  const std::string_view name = bytes.substr(std::min(line + 1, bytes.size()));
  const auto device = device_of(pattern, name);
  if (!device) return;
  std::string expected(pattern);
  expected.replace(expected.find("{device}"), 8, *device);
  require(expected == name && is_valid_id(*device), "a name is its pattern with the device in it");
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  check_der(bytes);
  check_pem(bytes);
  check_pattern_and_name(bytes);
  static_cast<void>(check_phc(bytes));
}

}  // namespace millrace::fuzz
