#pragma once

#include <string>
#include <utility>

#include <millrace/base/ids.hpp>
#include <millrace/base/result.hpp>
#include <millrace/rpc/call.hpp>

namespace millrace::registry {

// What the calls of RegistryService share.

/// Moves a store's answer into the response.
template <typename T>
Status give(Result<T> result, T& response) {
  if (!result.ok()) return result.error();
  response = std::move(*result);
  return {};
}

struct Names {
  std::string tenant;
  std::string device;

  /// For the audit log.
  [[nodiscard]] std::string entity() const { return tenant + "/" + device; }
};

/// The tenant that the caller may name, or its own, and a device id. kForbidden, kInvalid.
inline Result<Names> names_of(const rpc::Call& call, const std::string& tenant, const std::string& device) {
  auto own = rpc::tenant_of(call.caller, tenant);
  if (!own.ok()) return own.error();
  if (auto valid = check_id("device id", device); !valid.ok()) return valid.error();
  return Names{std::move(*own), device};
}

}  // namespace millrace::registry
