#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <millrace/registry_view/device_type.hpp>

namespace millrace::registry_view {

/// The types of all tenants, each with a number by which a device's slot names it in 4 bytes. A type and the devices
/// that have it come in any order: a number is kept as long as either is there. One thread changes it, any number read.
class TypeBook {
 public:
  using Number = std::uint32_t;
  static constexpr Number kNone = std::numeric_limits<Number>::max();

  void put(std::string_view tenant, DeviceTypePtr type);
  void remove(std::string_view tenant, std::string_view name);

  /// For one more device, whether the type is there yet or not; kNone for an empty name.
  [[nodiscard]] Number hold(std::string_view tenant, std::string_view name);
  /// The device is gone or has another type.
  void release(Number number);
  /// A device that was there before has another type now.
  void changed() { generation_.fetch_add(1, std::memory_order_release); }

  /// Around a second reading from the beginning: what was not put between the two goes.
  void begin_reload() { ++reload_; }
  void end_reload();

  /// Whether the type is there or only devices that have it; kNone: neither.
  [[nodiscard]] Number find(std::string_view tenant, std::string_view name) const;
  [[nodiscard]] DeviceTypePtr at(Number number) const;
  /// No type is there: nobody has to be asked for the one of a device.
  [[nodiscard]] bool empty() const { return types_.load(std::memory_order_acquire) == 0; }
  /// Another number after each change of a type, or of the type of a device, never 0.
  [[nodiscard]] std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  struct Place {
    std::pair<std::string, std::string> name;  // tenant, type
    DeviceTypePtr type;
    std::uint32_t devices = 0;
    std::uint8_t reload = 0;
  };

  Number number_of(std::string_view tenant, std::string_view name);
  void drop_if_unused(Number number);
  void drop_type(Number number);

  mutable std::shared_mutex mutex_;
  std::vector<Place> places_;
  std::vector<Number> free_;
  std::map<std::pair<std::string, std::string>, Number> by_name_;
  std::atomic<std::size_t> types_{0};
  std::atomic<std::uint64_t> generation_{1};
  std::uint8_t reload_ = 0;
};

}  // namespace millrace::registry_view
