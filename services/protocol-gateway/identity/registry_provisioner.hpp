#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include <millrace/observability/metrics.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/rpc/client.hpp>

#include "identity/authenticator.hpp"

namespace millrace::gateway {

/// Port: where it is seen that a device which was made is known here. Thread-safe.
class Arrivals {
 public:
  virtual ~Arrivals() = default;
  /// As RegistryView::wait_for(): blocks.
  [[nodiscard]] virtual bool wait_for(const std::string& tenant, const std::string& device,
                                      std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) = 0;
};

/// The registry's copy, which must outlive it.
class RegistryArrivals final : public Arrivals {
 public:
  explicit RegistryArrivals(const registry_view::RegistryView& view) : view_(view) {}
  [[nodiscard]] bool wait_for(const std::string& tenant, const std::string& device,
                              std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) override {
    return view_.wait_for(tenant, device, deadline, stop);
  }

 private:
  const registry_view::RegistryView& view_;
};

/// Makes devices by RegistryService.ProvisionDevice, on threads of its own. Whoever comes for a device that is being
/// made waits for that one call. Thread-safe.
class RegistryProvisioner final : public Provisioner {
 public:
  struct Options {
    rpc::ClientOptions registry;  ///< api_key is read from key_file
    std::string key_file;         ///< API key of an operator of the platform; read for each call, so it may be changed
    std::size_t threads = 2;
    std::size_t queue = 256;                     ///< devices waiting to be made
    std::size_t most_waiting = 16;               ///< for one device
    std::chrono::milliseconds patience{10'000};  ///< for a device that was made to come into the copy
  };

  /// `arrivals` and `metrics` must outlive it: millrace_gateway_provisioning_total.
  RegistryProvisioner(Options options, Arrivals& arrivals, observability::Metrics& metrics);
  ~RegistryProvisioner() override;  ///< stop()
  RegistryProvisioner(const RegistryProvisioner&) = delete;
  RegistryProvisioner& operator=(const RegistryProvisioner&) = delete;

  void provision(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain,
                 std::function<void(Status)> done) override;

  /// Takes nothing more and waits for what is under way, at most about as long as a call may take; nobody waits for the
  /// copy any more.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::gateway
