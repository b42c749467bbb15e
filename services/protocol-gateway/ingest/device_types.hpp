#pragma once

#include <cstdint>
#include <string_view>

#include <millrace/registry_view/registry_view.hpp>

namespace millrace::gateway {

/// Where types of devices come from: the registry's copy, or a test.
class TypeSource {
 public:
  virtual ~TypeSource() = default;
  /// Null: none.
  [[nodiscard]] virtual registry_view::DeviceTypePtr type_of(std::string_view tenant,
                                                             std::string_view device) const = 0;
  /// As of RegistryView::types_generation().
  [[nodiscard]] virtual std::uint64_t generation() const = 0;
};

/// The type that was looked up for one identity, asked again when types change. Used by one thread at a time, as the
/// identity's messages are.
struct KnownType {
  std::uint64_t generation = 0;  ///< of the source; 0: not looked up yet
  registry_view::DeviceTypePtr type;

  /// Valid until the next call.
  const registry_view::DeviceType* now(const TypeSource& source, const registry_view::Device& device) {
    // Taken before the answer: a change between the two is seen with the next message.
    const std::uint64_t current = source.generation();
    if (generation != current) {
      generation = current;
      type = source.type_of(device.tenant, device.device);
    }
    return type.get();
  }
};

/// The types of the registry's copy. `view` must outlive it.
class RegistryTypes final : public TypeSource {
 public:
  explicit RegistryTypes(const registry_view::RegistryView& view) : view_(view) {}
  [[nodiscard]] registry_view::DeviceTypePtr type_of(std::string_view tenant, std::string_view device) const override {
    return view_.device_type(tenant, device);
  }
  [[nodiscard]] std::uint64_t generation() const override { return view_.types_generation(); }

 private:
  const registry_view::RegistryView& view_;
};

}  // namespace millrace::gateway
