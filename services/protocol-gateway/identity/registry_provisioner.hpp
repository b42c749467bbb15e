#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <millrace/observability/metrics.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/rpc/client.hpp>

#include "identity/authenticator.hpp"

namespace millrace::gateway {

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

  /// `view` and `metrics` must outlive it: millrace_gateway_provisioning_total.
  RegistryProvisioner(Options options, const registry_view::RegistryView& view, observability::Metrics& metrics);
  ~RegistryProvisioner() override;  ///< stop()
  RegistryProvisioner(const RegistryProvisioner&) = delete;
  RegistryProvisioner& operator=(const RegistryProvisioner&) = delete;

  void provision(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain,
                 std::function<void(Status)> done) override;

  /// Takes nothing more and waits for what is under way, at most about as long as a call may take.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::gateway
