#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>
#include <millrace/credentials/certificate.hpp>

namespace millrace::registry_view {

/// When something is valid.
struct Window {
  TimeUs not_before_us = 0;  ///< 0: from ever
  TimeUs not_after_us = 0;   ///< not valid any more from here on; 0: for ever

  [[nodiscard]] bool contains(TimeUs now) const {
    return now >= not_before_us && (not_after_us == 0 || now < not_after_us);
  }
  bool operator==(const Window&) const = default;
};

enum class CredentialKind : std::uint8_t { kToken, kPassword, kCertificate };

/// A way for a device to show who it is, beside its plain tokens.
struct Credential {
  std::string id;  ///< within the device; not given twice as long as the device is the same
  CredentialKind kind = CredentialKind::kToken;
  Window window;
  Sha256 digest{};  ///< of the token, of a certificate's DER form, of a password's `phc`
  std::string phc;  ///< of a password: what credentials::verify_password() takes
};

/// What may be done with local topics.
struct TopicRule {
  std::string filter;  ///< `{device}` in it stands for the device's id
  bool publish = false;
  bool subscribe = false;
};

/// A rule's filter with the device's id in place of each `{device}`. Ids have none of MQTT's special characters.
[[nodiscard]] std::string filter_for(std::string_view filter, std::string_view device);

/// Whatever the registry says of a device beyond its plain tokens.
struct DeviceGrants {
  std::vector<Credential> credentials;
  std::vector<std::string> children;  ///< ids, and prefixes that end in `*`
  std::vector<TopicRule> topics;      ///< in place of the tenant's, where there are any
  /// Ack level `stored` or not, in place of the tenant's; none: nothing is said.
  std::optional<bool> answers_when_stored;
};
/// Null: nothing.
using DeviceGrantsPtr = std::shared_ptr<const DeviceGrants>;

/// What a tenant lets all of its devices do.
struct TenantPolicy {
  std::vector<TopicRule> device_topics;
  bool receipts = false;             ///< version 5 clients get them without asking
  bool answers_when_stored = false;  ///< ack level `stored` for messages that do not say it themselves
};
/// Null: nothing.
using TenantPolicyPtr = std::shared_ptr<const TenantPolicy>;

/// Whether messages of such a device have the ack level `stored` where they do not say it: the device's word goes
/// before its tenant's.
[[nodiscard]] inline bool answers_when_stored(const DeviceGrantsPtr& device, const TenantPolicyPtr& tenant) {
  if (device && device->answers_when_stored) return *device->answers_when_stored;
  return tenant && tenant->answers_when_stored;
}

/// A certificate authority whose leaves are devices of a tenant.
struct Authority {
  std::string tenant;
  std::string name;
  credentials::Certificate certificate;
  Window window;  ///< beside the certificate's own
  credentials::NameSource source = credentials::NameSource::kCommonName;
  std::string pattern;  ///< what stands there, as of credentials::device_of()
  bool provisions = false;
  bool enabled = false;
};
using AuthorityPtr = std::shared_ptr<const Authority>;

/// Whose credential something is.
struct Holder {
  std::string tenant;
  std::string device;
  Credential credential;
};

}  // namespace millrace::registry_view
