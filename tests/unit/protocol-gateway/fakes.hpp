#pragma once

#include <memory>
#include <vector>

#include "ingest/device_types.hpp"
#include "ingest/publisher.hpp"
#include "limits/limiter.hpp"

namespace millrace::gateway {

class FakePublisher final : public RecordPublisher {
 public:
  [[nodiscard]] const telemetry::StartId& start_id() const override { return start_; }
  [[nodiscard]] bool accepting() const override { return accepts; }
  [[nodiscard]] std::size_t room() const override { return 1 << 20; }
  [[nodiscard]] bool crowded() const override { return false; }
  [[nodiscard]] Status submit(std::unique_ptr<InFlight> record) override {
    if (fails) return Error{ErrorKind::kUnavailable, "away"};
    records.push_back(std::move(record));
    return {};
  }
  std::vector<std::unique_ptr<InFlight>> records;
  bool fails = false;
  bool accepts = true;

 private:
  telemetry::StartId start_{1, 2, 3};
};

/// Limits that a test sets; the same for every device.
class FakeLimits final : public LimitSource {
 public:
  [[nodiscard]] registry_view::LimitsOf limits(std::string_view /*tenant*/,
                                               std::string_view /*device*/) const override {
    return now;
  }
  [[nodiscard]] std::uint64_t generation() const override { return number; }
  void set(const registry_view::Limits& device, const registry_view::Limits& tenant = {}) {
    const registry_view::Limits none;
    now.device = device == none ? nullptr : std::make_shared<const registry_view::Limits>(device);
    now.tenant = tenant == none ? nullptr : std::make_shared<const registry_view::Limits>(tenant);
    ++number;
  }
  registry_view::LimitsOf now;
  std::uint64_t number = 1;
};

/// A type that a test sets; the same for every device.
class FakeTypes final : public TypeSource {
 public:
  [[nodiscard]] registry_view::DeviceTypePtr type_of(std::string_view /*tenant*/,
                                                     std::string_view /*device*/) const override {
    ++asked;
    return now;
  }
  [[nodiscard]] std::uint64_t generation() const override { return number; }
  void set(registry_view::DeviceType type) {
    now = std::make_shared<const registry_view::DeviceType>(std::move(type));
    ++number;
  }
  registry_view::DeviceTypePtr now;
  std::uint64_t number = 1;
  mutable int asked = 0;
};

class FakeRefused final : public RefusedPayloads {
 public:
  [[nodiscard]] Status keep(Refused refused) override {
    kept.push_back(std::move(refused));
    return {};
  }
  std::vector<Refused> kept;
};

}  // namespace millrace::gateway
