#include "identity/validity.hpp"

#include <algorithm>

namespace millrace::gateway {
namespace {

using registry_view::Credential;
using registry_view::CredentialKind;
using registry_view::DeviceGrantsPtr;
using registry_view::Window;

std::optional<TimeUs> end_of(const Window& window, TimeUs now) {
  if (!window.contains(now)) return std::nullopt;
  return window.not_after_us == 0 ? kForEver : window.not_after_us;
}

std::optional<TimeUs> later(std::optional<TimeUs> a, std::optional<TimeUs> b) {
  if (!a || !b) return a ? a : b;
  return std::max(*a, *b);
}

// Several credentials may have one digest; the one that is good for longest counts.
template <typename Accept>
std::optional<TimeUs> end_of_credentials(const DeviceGrantsPtr& grants, TimeUs now, Accept accept) {
  std::optional<TimeUs> end;
  if (!grants) return end;
  for (const Credential& credential : grants->credentials) {
    if (accept(credential)) end = later(end, end_of(credential.window, now));
  }
  return end;
}

std::optional<TimeUs> end_of_proof(const CredentialSource& source, const Identity& identity, TimeUs now) {
  const auto& [tenant, device, key, enabled] = identity.device;
  const Proof& proof = identity.proof;
  switch (proof.kind) {
    case Proof::Kind::kToken:
      if (source.find_with_token(tenant, device, proof.digest)) return kForEver;
      return end_of_credentials(source.grants(tenant, device), now, [&](const Credential& credential) {
        return credential.kind == CredentialKind::kToken && credential.digest == proof.digest;
      });
    case Proof::Kind::kCredential:
      return end_of_credentials(source.grants(tenant, device), now, [&](const Credential& credential) {
        return credential.id == proof.name && credential.digest == proof.digest;
      });
    case Proof::Kind::kAuthority: {
      const auto authority = source.authority(tenant, proof.name);
      if (!authority || !authority->enabled || authority_digest(*authority) != proof.digest) return std::nullopt;
      return end_of(authority->window, now);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<TimeUs> valid_until(const CredentialSource& source, const Identity& identity, TimeUs now) {
  const auto known = source.find(identity.device.tenant, identity.device.device);
  if (!known || !known->enabled || known->device_key != identity.device.device_key) return std::nullopt;
  const auto end = end_of_proof(source, identity, now);
  if (!end || identity.proof.ends_us == 0) return end;
  if (now >= identity.proof.ends_us) return std::nullopt;
  return std::min(*end, identity.proof.ends_us);
}

Sha256 authority_digest(const registry_view::Authority& authority) {
  const Sha256 fingerprint = authority.certificate.fingerprint();
  std::string said(bytes_of(fingerprint));
  said += static_cast<char>('0' + static_cast<int>(authority.source));
  said += authority.pattern;
  return sha256(said);
}

}  // namespace millrace::gateway
