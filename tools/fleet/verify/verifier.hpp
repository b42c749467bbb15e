// After the load: waits until the store has caught up, then asks it and query-api about every message.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "load/device.hpp"
#include "verify/accounting.hpp"
#include "verify/services.hpp"

namespace millrace::fleet {

struct VerifyOptions {
  std::string database_url;
  std::string tenant;
  rpc::ClientOptions query;
  rpc::ClientOptions registry;
  std::chrono::seconds patience{600};  ///< how long the store may take to hold what was acknowledged
  TimeUs started_us = 0;               ///< wall clock before the first message
};

struct Verdict {
  Tally tally;
  std::uint64_t receipts_asked = 0;
  std::uint64_t receipts_wrong = 0;  ///< acknowledged, but the answer is not "stored"
  std::uint64_t ranges_asked = 0;
  std::uint64_t ranges_wrong = 0;  ///< query-api and the database differ
  double caught_up_s = 0;          ///< from the end of the load until all was there
  [[nodiscard]] bool clean() const { return tally.clean() && receipts_wrong == 0 && ranges_wrong == 0; }
};

/// kUnavailable: the database or query-api could not be asked within the patience. `say` tells a person what is
/// awaited.
[[nodiscard]] Result<Verdict> verify(const VerifyOptions& options, const Readings& readings,
                                     const std::vector<Device>& devices, const Ledger& ledger,
                                     const std::function<void(const std::string&)>& say);

}  // namespace millrace::fleet
