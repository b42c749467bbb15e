// Reads the rows of a device straight from the database, past every service.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>

#include "verify/accounting.hpp"

namespace millrace::postgres {
class Connection;
}

namespace millrace::fleet {

class StoreReader {
 public:
  StoreReader(std::string database_url, std::string tenant, const Readings& readings);
  ~StoreReader();

  /// `device_keys` are the registry's; the answers come in their order: all rows of the run's metrics from the two
  /// times on. Connects when there is no connection; blocks.
  [[nodiscard]] Result<std::vector<std::vector<StoredPoint>>> read(std::span<const std::int32_t> device_keys,
                                                                   TimeUs timed_from_us, TimeUs untimed_from_us);

 private:
  Status connect();
  Status learn_metrics();

  std::string url_;
  std::string tenant_;
  const Readings& readings_;
  std::unique_ptr<postgres::Connection> connection_;
  std::vector<std::int32_t> metric_ids_;  // as far as the store knows them
  std::vector<int> metric_indexes_;       // the same in the terms of StoredPoint::metric
};

}  // namespace millrace::fleet
