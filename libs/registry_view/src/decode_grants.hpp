#pragma once

#include <millrace/base/result.hpp>
#include <millrace/registry_view/grants.hpp>

#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {

/// The contents of entries of the topic; kInvalid says what makes no sense, without its secrets. One bad part refuses
/// the whole entry: half of a device's rights is none that anybody has given.
[[nodiscard]] Result<DeviceGrantsPtr> read_grants(const registry::v1::CredentialsEntry& entry);
[[nodiscard]] Result<AuthorityPtr> read_authority(const registry::v1::AuthorityEntry& entry);
[[nodiscard]] Result<TenantPolicyPtr> read_policy(const registry::v1::PolicyEntry& entry);

}  // namespace millrace::registry_view
