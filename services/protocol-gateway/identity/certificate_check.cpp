#include "identity/certificate_check.hpp"

#include <algorithm>
#include <utility>

#include <millrace/base/ids.hpp>
#include <millrace/credentials/certificate.hpp>

#include "identity/validity.hpp"

namespace millrace::gateway {
namespace {

using credentials::Certificate;
using registry_view::AuthorityPtr;
using registry_view::CredentialKind;

constexpr std::size_t kMostRemembered = 20'000;
// Authorities that are tried for one chain. Anybody may give an authority any name, so that one tenant's must not use
// up all places.
constexpr std::size_t kMostAuthorities = 64;
constexpr std::ptrdiff_t kMostAuthoritiesOfTenant = 16;

constexpr const char* kUnknown = "the certificate is of no known device, or the device is disabled";
constexpr const char* kAmbiguous =
    "the certificate stands for devices of more than one tenant or more than one device: give device@tenant as user "
    "name";

}  // namespace

struct CertificateCheck::Search {
  const std::vector<std::string>& chain;
  const std::string& tenant;
  const std::string& device;
  TimeUs now;
  std::vector<Certificate> certificates = {};
  std::vector<std::shared_ptr<const Identity>> found = {};
  struct Fresh {
    AuthorityPtr authority;
    std::string device;
  };
  std::vector<Fresh> fresh = {};  // devices that an authority would make
  std::vector<std::string> pinned_tenants = {};
  std::vector<AuthorityPtr> tried = {};

  [[nodiscard]] bool wants(const std::string& of_tenant, const std::string& named) const {
    return (tenant.empty() || tenant == of_tenant) && (device.empty() || device == named);
  }
  [[nodiscard]] std::vector<registry_view::Holder> holders(const CredentialSource& source, const Sha256& digest) const;
  [[nodiscard]] bool may_try(const AuthorityPtr& authority) const;
  /// The first end of what has just been verified: a certificate that is over was none of it.
  [[nodiscard]] TimeUs ends(const Certificate& authority) const {
    TimeUs first = authority.not_after_us();
    for (const Certificate& certificate : certificates) {
      if (certificate.not_after_us() > now) first = std::min(first, certificate.not_after_us());
    }
    return first;
  }
};

CertificateCheck::CertificateCheck(const CredentialSource& source) : source_(source), verified_(kMostRemembered) {}

void CertificateCheck::add(Search& search, const std::string& tenant, const std::string& device, Proof proof) const {
  auto known = source_.find(tenant, device);
  if (!known || !known->enabled) return;
  const bool again = std::ranges::any_of(
      search.found, [&](const auto& identity) { return identity->device.device_key == known->device_key; });
  if (again) return;
  search.found.push_back(
      std::make_shared<const Identity>(Identity{std::move(*known), std::move(proof), record_key(tenant, device)}));
}

// The leaf itself is a credential: whoever signed it does not matter.
void CertificateCheck::find_pinned(Search& search) const {
  const Certificate& leaf = search.certificates.front();
  if (search.now < leaf.not_before_us() || search.now >= leaf.not_after_us()) return;
  const Sha256 digest = leaf.fingerprint();
  for (const auto& [tenant, device, credential] : search.holders(source_, digest)) {
    if (!search.wants(tenant, device) || !credential.window.contains(search.now)) continue;
    add(search, tenant, device, {Proof::Kind::kCredential, digest, credential.id, leaf.not_after_us()});
  }
}

// Of a device that is named its own credentials: others may have registered the same certificate more often than
// CredentialSource::holders() tells.
std::vector<registry_view::Holder> CertificateCheck::Search::holders(const CredentialSource& source,
                                                                     const Sha256& digest) const {
  if (tenant.empty() || device.empty()) return source.holders(digest, CredentialKind::kCertificate);
  std::vector<registry_view::Holder> own;
  const auto grants = source.grants(tenant, device);
  if (!grants) return own;
  for (const registry_view::Credential& credential : grants->credentials) {
    if (credential.kind == CredentialKind::kCertificate && credential.digest == digest)
      own.push_back({tenant, device, credential});
  }
  return own;
}

std::optional<TimeUs> CertificateCheck::verify(const Search& search, const registry_view::Authority& authority) {
  const Sha256 fingerprint = authority.certificate.fingerprint();
  std::string both(bytes_of(fingerprint));
  for (const Certificate& certificate : search.certificates) both += bytes_of(certificate.fingerprint());
  const Sha256 key = sha256(both);
  if (const auto ends = verified_.find(key)) return search.now < *ends ? ends : std::nullopt;
  if (!credentials::verify_chain(search.chain, authority.certificate, search.now).ok()) return std::nullopt;
  const TimeUs ends = search.ends(authority.certificate);
  verified_.put(key, ends);
  return ends;
}

void CertificateCheck::find_named(Search& search, const AuthorityPtr& authority, TimeUs ends) const {
  const Sha256 digest = authority_digest(*authority);
  for (const std::string& name : search.certificates.front().names(authority->source)) {
    const auto device = credentials::device_of(authority->pattern, name);
    if (!device || !search.wants(authority->tenant, *device)) continue;
    add(search, authority->tenant, *device, {Proof::Kind::kAuthority, digest, authority->name, ends});
    const bool again = std::ranges::any_of(search.fresh, [&](const Search::Fresh& other) {
      return other.authority->tenant == authority->tenant && other.device == *device;
    });
    if (authority->provisions && !again && !source_.find(authority->tenant, *device))
      search.fresh.push_back({authority, *device});
  }
}

bool CertificateCheck::Search::may_try(const AuthorityPtr& authority) const {
  const bool open = authority->enabled && authority->window.contains(now);
  if (!open || tried.size() >= kMostAuthorities || std::ranges::find(tried, authority) != tried.end()) return false;
  if (std::ranges::find(pinned_tenants, authority->tenant) != pinned_tenants.end()) return false;
  const auto of_tenant = [&](const AuthorityPtr& other) { return other->tenant == authority->tenant; };
  return std::ranges::count_if(tried, of_tenant) < kMostAuthoritiesOfTenant;
}

// A certificate is no secret, and who registers it need not have its key. So a pinned one goes before the authorities
// of its own tenant only: it takes no device away from another tenant, it makes the certificate ambiguous.
void CertificateCheck::find_issued(Search& search) {
  for (const auto& identity : search.found) search.pinned_tenants.push_back(identity->device.tenant);
  for (const Certificate& certificate : search.certificates) {
    for (const AuthorityPtr& authority : source_.authorities(search.tenant, certificate.issuer())) {
      if (!search.may_try(authority)) continue;
      search.tried.push_back(authority);
      if (const auto ends = verify(search, *authority)) find_named(search, authority, *ends);
    }
  }
}

CertificateCheck::Found CertificateCheck::check(const std::vector<std::string>& chain, const std::string& tenant,
                                                const std::string& device, TimeUs now) {
  if (chain.size() > credentials::kMostChain) return {.why = "the chain has more than eight certificates"};
  Search search{chain, tenant, device, now};
  for (const std::string& der : chain) {
    auto certificate = Certificate::from_der(der);
    if (!certificate.ok()) return {.why = kUnknown};
    search.certificates.push_back(std::move(*certificate));
  }
  find_pinned(search);
  if (search.found.empty() || search.tenant.empty()) find_issued(search);
  if (search.found.size() + (search.found.empty() ? search.fresh.size() : 0) > 1) return {.why = kAmbiguous};
  if (!search.found.empty()) return {.identity = search.found.front()};
  if (search.fresh.empty()) return {.why = kUnknown};
  return {.provisions = search.fresh.front().authority, .new_device = search.fresh.front().device, .why = kUnknown};
}

}  // namespace millrace::gateway
