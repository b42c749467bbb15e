#pragma once

#include <string_view>

#include <millrace/registry_view/registry_view.hpp>

namespace millrace::gateway {

/// What the registry lets a device do with topics beyond its own, as it was when it was asked. Cheap to copy.
class TopicRights {
 public:
  TopicRights() = default;
  TopicRights(registry_view::DeviceGrantsPtr grants, registry_view::TenantPolicyPtr policy)
      : grants_(std::move(grants)), policy_(std::move(policy)) {}
  [[nodiscard]] static TopicRights of(const registry_view::RegistryView& registry, std::string_view tenant,
                                      std::string_view device) {
    return {registry.grants(tenant, device), registry.policy(tenant)};
  }

  /// Whether the device is a gateway for this one; `+`: for every device.
  [[nodiscard]] bool speaks_for(std::string_view child) const;
  /// Topics outside `devices/`; `device` is whose rights these are.
  [[nodiscard]] bool may_publish(std::string_view device, std::string_view topic) const;
  [[nodiscard]] bool may_subscribe(std::string_view device, std::string_view filter) const;
  [[nodiscard]] bool any_local() const { return !rules().empty(); }
  [[nodiscard]] bool receipts() const { return policy_ && policy_->receipts; }
  /// The ack level of the device, else of its tenant, is `stored`.
  [[nodiscard]] bool answers_when_stored() const { return registry_view::answers_when_stored(grants_, policy_); }

 private:
  [[nodiscard]] const std::vector<registry_view::TopicRule>& rules() const;

  registry_view::DeviceGrantsPtr grants_;
  registry_view::TenantPolicyPtr policy_;
};

}  // namespace millrace::gateway
