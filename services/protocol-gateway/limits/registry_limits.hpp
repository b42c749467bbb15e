#pragma once

#include "limits/limiter.hpp"

namespace millrace::gateway {

/// The limits of the registry's copy. `view` must outlive it.
class RegistryLimits final : public LimitSource {
 public:
  explicit RegistryLimits(const registry_view::RegistryView& view) : view_(view) {}
  [[nodiscard]] registry_view::LimitsOf limits(std::string_view tenant, std::string_view device) const override {
    return view_.limits(tenant, device);
  }
  [[nodiscard]] std::uint64_t generation() const override { return view_.limits_generation(); }

 private:
  const registry_view::RegistryView& view_;
};

}  // namespace millrace::gateway
