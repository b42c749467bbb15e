#include "provisioning/leaf_match.hpp"

#include <set>

#include <millrace/credentials/certificate.hpp>

namespace millrace::registry {
namespace {

using credentials::Certificate;
using credentials::NameSource;

Error refused(std::string what) { return {ErrorKind::kInvalid, std::move(what)}; }

bool makes_devices(const v1::AuthorityEntry& authority, TimeUs now) {
  return authority.enabled() && authority.provisions() && now >= authority.not_before_us() &&
         (authority.not_after_us() == 0 || now < authority.not_after_us());
}

NameSource source_of(v1::SubjectSource source) {
  if (source == v1::SUBJECT_SOURCE_DNS_NAME) return NameSource::kDnsName;
  if (source == v1::SUBJECT_SOURCE_URI) return NameSource::kUri;
  if (source == v1::SUBJECT_SOURCE_EMAIL) return NameSource::kEmail;
  return NameSource::kCommonName;
}

Result<std::string> device_by(const v1::AuthorityEntry& authority, const std::vector<std::string>& chain, TimeUs now) {
  const auto anchor = Certificate::from_der(authority.certificate());
  if (!anchor.ok())
    return Error{ErrorKind::kCorrupt, "the certificate of authority '" + authority.authority() + "' cannot be read"};
  if (auto status = credentials::verify_chain(chain, *anchor, now); !status.ok())
    return refused(status.error().message);
  const auto leaf = Certificate::from_der(chain.front());
  if (!leaf.ok()) return leaf.error();
  std::set<std::string> devices;
  for (const std::string& name : leaf->names(source_of(authority.source()))) {
    if (auto device = credentials::device_of(authority.pattern(), name)) devices.insert(std::move(*device));
  }
  if (devices.size() == 1) return *devices.begin();
  if (devices.empty())
    return refused("the certificate has no name that fits '" + authority.pattern() + "' with a device id");
  return refused("the certificate has names of more than one device by '" + authority.pattern() + "'");
}

}  // namespace

Status check_chain(const std::vector<std::string>& chain) {
  if (chain.empty() || chain.size() > credentials::kMostChain) return refused("chain must have 1 to 8 certificates");
  std::size_t bytes = 0;
  for (const std::string& der : chain) bytes += der.size();
  if (bytes > kMostChainBytes) return refused("chain is longer than 32768 bytes");
  return {};
}

Result<LeafMatch> match_leaf(std::span<const v1::AuthorityEntry> authorities, const std::vector<std::string>& chain,
                             TimeUs now) {
  std::string faults;
  for (const v1::AuthorityEntry& authority : authorities) {
    if (!makes_devices(authority, now)) continue;
    auto device = device_by(authority, chain, now);
    if (device.ok()) return LeafMatch{&authority, std::move(*device)};
    if (device.error().kind != ErrorKind::kInvalid) return device.error();
    if (faults.empty()) faults = "chain: authority '" + authority.authority() + "': " + device.error().message;
  }
  if (faults.empty()) return Error{ErrorKind::kPrecondition, "the tenant has no authority that makes devices now"};
  return refused(std::move(faults));
}

}  // namespace millrace::registry
