// The two gRPC APIs as the fleet uses them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/rpc/client.hpp>

#include "load/device.hpp"
#include "readings/readings.hpp"

namespace millrace::fleet {

/// Creates devices `names` in the registry; the tokens come with them.
[[nodiscard]] Result<std::vector<Device>> import_devices(const rpc::ClientOptions& registry, const std::string& tenant,
                                                         const std::vector<std::string>& names);

/// The registry's integer keys of devices, in the order of `devices`.
[[nodiscard]] Result<std::vector<std::int32_t>> device_keys(const rpc::ClientOptions& registry,
                                                            const std::string& tenant,
                                                            const std::vector<Device>& devices);

enum class ReceiptAnswer : std::uint8_t { kStored, kPending, kOther };

class QueryClient {
 public:
  QueryClient(const rpc::ClientOptions& options, std::string tenant);
  ~QueryClient();

  /// What became of a receipt; `text` takes the state's name.
  [[nodiscard]] Result<ReceiptAnswer> receipt(const std::string& receipt, std::string& text);
  /// All values of a metric in [from, to), following the pages.
  [[nodiscard]] Result<std::vector<std::int64_t>> integers(const std::string& device, std::string_view metric,
                                                           TimeUs from_us, TimeUs to_us);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::fleet
