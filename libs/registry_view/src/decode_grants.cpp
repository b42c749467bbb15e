#include "decode_grants.hpp"

#include <algorithm>
#include <utility>

#include <google/protobuf/repeated_field.h>

#include <millrace/base/ids.hpp>
#include <millrace/credentials/password.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::registry_view {
namespace {

constexpr int kMostCredentials = 32;
constexpr int kMostChildren = 64;
constexpr int kMostRules = 64;
constexpr std::size_t kMostFilterBytes = 1024;
constexpr std::size_t kMostIdBytes = 64;

Error bad(std::string why) { return {ErrorKind::kInvalid, std::move(why)}; }

bool read_digest(const std::string& bytes, Sha256& out) {
  if (bytes.size() != out.size()) return false;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(out.data()));
  return true;
}

Status read_window(TimeUs not_before, TimeUs not_after, Window& window) {
  if (not_before < 0 || not_after < 0 || (not_after != 0 && not_after <= not_before)) {
    return bad("a window ends before it begins");
  }
  window = {not_before, not_after};
  return {};
}

Status read_proof(const registry::v1::Credential& from, Credential& to) {
  switch (from.proof_case()) {
    case registry::v1::Credential::kTokenSha256:
      to.kind = CredentialKind::kToken;
      if (!read_digest(from.token_sha256(), to.digest)) return bad("a token digest is not 32 bytes");
      return {};
    case registry::v1::Credential::kCertificateSha256:
      to.kind = CredentialKind::kCertificate;
      if (!read_digest(from.certificate_sha256(), to.digest)) return bad("a certificate digest is not 32 bytes");
      return {};
    case registry::v1::Credential::kPasswordPhc:
      to.kind = CredentialKind::kPassword;
      to.phc = from.password_phc();
      to.digest = sha256(to.phc);
      return credentials::check_phc(to.phc);
    case registry::v1::Credential::PROOF_NOT_SET:
      break;
  }
  return bad("a credential of an unknown kind");
}

Status read_credential(const registry::v1::Credential& from, Credential& to) {
  to.id = from.credential_id();
  if (to.id.empty() || to.id.size() > kMostIdBytes) return bad("a credential's id is not 1 to 64 bytes");
  if (auto status = read_window(from.not_before_us(), from.not_after_us(), to.window); !status.ok()) return status;
  return read_proof(from, to);
}

bool is_child(std::string_view pattern) {
  if (!pattern.ends_with('*')) return is_valid_id(pattern);
  pattern.remove_suffix(1);
  return pattern.empty() || is_valid_id(pattern);
}

bool is_filter(std::string_view filter) {
  return filter.size() <= kMostFilterBytes && mqtt::valid_topic_filter(filter_for(filter, "x"));
}

Status read_rules(const google::protobuf::RepeatedPtrField<registry::v1::TopicRule>& from, std::vector<TopicRule>& to) {
  if (from.size() > kMostRules) return bad("more than 64 topic rules");
  for (const registry::v1::TopicRule& rule : from) {
    if (!is_filter(rule.filter())) return bad("a topic rule's filter is none of MQTT");
    to.push_back({rule.filter(), rule.publish(), rule.subscribe()});
  }
  return {};
}

Result<credentials::NameSource> source_of(registry::v1::SubjectSource source) {
  switch (static_cast<int>(source)) {
    case registry::v1::SUBJECT_SOURCE_COMMON_NAME:
      return credentials::NameSource::kCommonName;
    case registry::v1::SUBJECT_SOURCE_DNS_NAME:
      return credentials::NameSource::kDnsName;
    case registry::v1::SUBJECT_SOURCE_URI:
      return credentials::NameSource::kUri;
    case registry::v1::SUBJECT_SOURCE_EMAIL:
      return credentials::NameSource::kEmail;
    default:
      return bad("unknown source of names");
  }
}

}  // namespace

std::string filter_for(std::string_view filter, std::string_view device) {
  constexpr std::string_view kDevice = "{device}";
  std::string filled;
  for (std::size_t at = filter.find(kDevice); at != std::string_view::npos; at = filter.find(kDevice)) {
    filled.append(filter.substr(0, at)).append(device);
    filter.remove_prefix(at + kDevice.size());
  }
  return filled.append(filter);
}

Result<DeviceGrantsPtr> read_grants(const registry::v1::CredentialsEntry& entry) {
  if (entry.credentials_size() > kMostCredentials) return bad("more than 32 credentials");
  if (entry.children_size() > kMostChildren) return bad("more than 64 children");
  auto grants = std::make_shared<DeviceGrants>();
  for (const registry::v1::Credential& credential : entry.credentials()) {
    if (auto status = read_credential(credential, grants->credentials.emplace_back()); !status.ok())
      return status.error();
  }
  for (const std::string& child : entry.children()) {
    if (!is_child(child)) return bad("a child is neither a device id nor a beginning of one with '*'");
    grants->children.push_back(child);
  }
  if (auto status = read_rules(entry.topics(), grants->topics); !status.ok()) return status.error();
  if (entry.ack_level() != registry::v1::ACK_LEVEL_UNSPECIFIED)
    grants->answers_when_stored = entry.ack_level() == registry::v1::ACK_LEVEL_STORED;
  return DeviceGrantsPtr(std::move(grants));
}

Result<AuthorityPtr> read_authority(const registry::v1::AuthorityEntry& entry) {
  auto certificate = credentials::Certificate::from_der(entry.certificate());
  if (!certificate.ok()) return certificate.error();
  if (!certificate->may_sign()) return bad("the certificate may not sign others");
  const auto source = source_of(entry.source());
  if (!source.ok()) return source.error();
  if (auto status = credentials::check_pattern(entry.pattern()); !status.ok()) return status.error();
  Window window;
  if (auto status = read_window(entry.not_before_us(), entry.not_after_us(), window); !status.ok())
    return status.error();
  return AuthorityPtr(
      std::make_shared<const Authority>(Authority{entry.tenant(), entry.authority(), std::move(*certificate), window,
                                                  *source, entry.pattern(), entry.provisions(), entry.enabled()}));
}

Result<TenantPolicyPtr> read_policy(const registry::v1::PolicyEntry& entry) {
  auto policy = std::make_shared<TenantPolicy>();
  if (auto status = read_rules(entry.device_topics(), policy->device_topics); !status.ok()) return status.error();
  policy->receipts = entry.receipts();
  policy->answers_when_stored = entry.ack_level() == registry::v1::ACK_LEVEL_STORED;
  return TenantPolicyPtr(std::move(policy));
}

}  // namespace millrace::registry_view
