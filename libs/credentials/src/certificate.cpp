#include <algorithm>
#include <ctime>
#include <limits>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "openssl_handles.hpp"

namespace millrace::credentials {
namespace {

constexpr std::size_t kMostPemBytes = 64 * 1024;

using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free>>;
using NamesHandle = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

Error bad(std::string what) { return {ErrorKind::kInvalid, std::move(what)}; }

bool read_time(const ASN1_TIME* time, TimeUs& out) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return false;
  out = static_cast<TimeUs>(::timegm(&parts)) * kUsPerSecond;
  return true;
}

// One block of a PEM text, decoded.
struct Block {
  std::string name;
  std::string bytes;
};

// False at the end of the text and where it is none.
bool next_block(BIO& bio, Block& block) {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(&bio, &name, &header, &data, &size) != 1) return false;
  block.name = name;
  block.bytes.assign(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  return true;
}

// Text that stops at a NUL, or holds one, is no name.
void add_name(std::vector<std::string>& names, std::string_view name) {
  if (names.size() < kMostNames && !name.empty() && name.find('\0') == std::string_view::npos) names.emplace_back(name);
}

std::vector<std::string> common_names(const X509& certificate) {
  std::vector<std::string> names;
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (size < 0) continue;
    add_name(names, {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)});
    OPENSSL_free(text);
  }
  ERR_clear_error();
  return names;
}

std::vector<std::string> alternative_names(const X509& certificate, int type) {
  std::vector<std::string> names;
  const NamesHandle all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int kind = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &kind);
    if (kind != type || value == nullptr) continue;
    const auto* text = static_cast<const ASN1_STRING*>(value);
    const std::string_view name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                static_cast<std::size_t>(ASN1_STRING_length(text)));
    // An IA5String is ASCII; OpenSSL does not look.
    if (std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) add_name(names, name);
  }
  ERR_clear_error();
  return names;
}

std::string text_of(const X509_NAME& name) {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), &name, 0, XN_FLAG_RFC2253) < 0) return "";
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

bool is_authority(X509& certificate) {
  const std::uint32_t flags = X509_get_extension_flags(&certificate);
  // Without a key usage all bits are set.
  return (flags & EXFLAG_INVALID) == 0 && (flags & EXFLAG_CA) != 0 &&
         (X509_get_key_usage(&certificate) & KU_KEY_CERT_SIGN) != 0;
}

}  // namespace

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  if (pem.size() > kMostPemBytes) return bad("a PEM text may have 65536 bytes");
  const BioHandle bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return Error{ErrorKind::kInternal, "no memory for a certificate"};
  std::string der;
  bool found = false;
  for (Block block; next_block(*bio, block);) {
    if (block.name != PEM_STRING_X509 && block.name != PEM_STRING_X509_OLD) {
      return bad("the PEM text must hold a certificate and nothing else, but it has a block " +
                 block.name.substr(0, 64));
    }
    if (found) return bad("the PEM text must hold just one certificate, but there is a second one");
    found = true;
    der = std::move(block.bytes);
  }
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!ended) return bad("the PEM text has a block that is broken or without end");
  if (!found) return bad("there is no certificate: a PEM text has -----BEGIN CERTIFICATE----- in it");
  return from_der(der);
}

Result<Certificate> Certificate::from_der(std::string_view der) {
  if (der.size() > kMostCertificateBytes) return bad("a certificate may have 16384 bytes in DER form");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = at + der.size();
  auto data = std::make_shared<Data>();
  data->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  const bool whole = data->x509 && at == end;
  ERR_clear_error();
  if (!whole) return bad("it is not the DER form of one certificate");
  X509& certificate = *data->x509;
  if (!read_time(X509_get0_notBefore(&certificate), data->not_before_us) ||
      !read_time(X509_get0_notAfter(&certificate), data->not_after_us)) {
    return bad("the certificate's validity cannot be read");
  }
  data->der = der;
  data->fingerprint = sha256(der);
  data->may_sign = is_authority(certificate);
  ERR_clear_error();
  return Certificate(std::move(data));
}

const std::string& Certificate::der() const { return data_->der; }
Sha256 Certificate::fingerprint() const { return data_->fingerprint; }
TimeUs Certificate::not_before_us() const { return data_->not_before_us; }
TimeUs Certificate::not_after_us() const { return data_->not_after_us; }
bool Certificate::may_sign() const { return data_->may_sign; }

std::string Certificate::subject() const { return text_of(*X509_get_subject_name(data_->x509.get())); }
std::string Certificate::issuer() const { return text_of(*X509_get_issuer_name(data_->x509.get())); }

std::vector<std::string> Certificate::names(NameSource source) const {
  switch (source) {
    case NameSource::kCommonName:
      return common_names(*data_->x509);
    case NameSource::kDnsName:
      return alternative_names(*data_->x509, GEN_DNS);
    case NameSource::kUri:
      return alternative_names(*data_->x509, GEN_URI);
    case NameSource::kEmail:
      return alternative_names(*data_->x509, GEN_EMAIL);
  }
  return {};
}

}  // namespace millrace::credentials
