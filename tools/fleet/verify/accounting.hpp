// Compares what the devices were told with what the store holds. Pure: rows in, counts out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "load/ledger.hpp"
#include "readings/readings.hpp"

namespace millrace::fleet {

/// One row of the store. `metric` is an index into Readings::metrics(), or kSequence.
struct StoredPoint {
  static constexpr int kSequence = -1;
  int metric = kSequence;
  TimeUs time_us = 0;
  std::optional<double> value;  ///< nothing: stored as something else than a number
  bool untimed = false;
};

struct Tally {
  std::uint64_t sent = 0;  ///< on a wire at least once
  std::uint64_t acknowledged = 0;
  std::uint64_t refused = 0;
  std::uint64_t stored = 0;             ///< messages in the store, each counted once
  std::uint64_t stored_unanswered = 0;  ///< of these: no answer had come, which is allowed
  std::uint64_t lost = 0;               ///< acknowledged, not in the store
  std::uint64_t doubled = 0;            ///< messages in the store more than once
  std::uint64_t wrong_value =
      0;  ///< points missing, in excess, at another time or with another value; refused but stored
  std::vector<std::string> examples;  ///< the first faults in words

  void add(const Tally& other);
  [[nodiscard]] bool clean() const { return lost == 0 && doubled == 0 && wrong_value == 0; }
};

/// Accounts for one device. `points` are all its rows of the run's metrics; rows of other runs (another sequence,
/// another time) are passed over where they can be told apart: timed rows by their time, sequences by their value.
[[nodiscard]] Tally account(std::size_t device, const std::string& name, const Readings& readings,
                            std::span<const LedgerEntry> ledger, const std::vector<StoredPoint>& points);

}  // namespace millrace::fleet
