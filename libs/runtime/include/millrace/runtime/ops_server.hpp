#pragma once

#include <memory>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/runtime/health.hpp>

namespace millrace::runtime {

/// `/metrics`, `/livez`, `/readyz` (200 or 503, JSON detail) on threads of its own; stops in the destructor.
class OpsServer {
 public:
  /// The references must outlive the server. kUnavailable names the address if it is taken.
  [[nodiscard]] static Result<std::unique_ptr<OpsServer>> start(const Address& address, const Health& health,
                                                                const observability::Metrics& metrics);
  ~OpsServer();
  OpsServer(const OpsServer&) = delete;
  OpsServer& operator=(const OpsServer&) = delete;

  [[nodiscard]] const Address& address() const;  ///< with the port that was really bound

 private:
  struct Impl;
  explicit OpsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::runtime
