// What became of every message of a run, as the devices saw it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "readings/readings.hpp"

namespace millrace::fleet {

enum class Fate : std::uint8_t {
  kMade,          ///< due, but never on a wire
  kSent,          ///< on the wire at least once, no answer: may be stored once or not at all
  kAcknowledged,  ///< must be stored once
  kRefused,       ///< must not be stored
};

/// telemetry::Receipt, small: one is kept for each message. None where the protocol gives none.
struct Receipt {
  std::int32_t partition = -1;
  std::int32_t generation = 0;
  std::int64_t offset = -1;
  [[nodiscard]] bool given() const { return partition >= 0; }
  [[nodiscard]] std::string to_string() const;
};

/// Of an acknowledgement, so never a dead letter's.
[[nodiscard]] std::optional<Receipt> parse_receipt(std::string_view text);

struct LedgerEntry {
  TimeUs time_us = 0;
  Receipt receipt;
  Fate fate = Fate::kMade;
  bool timed = true;
};

/// How many messages a device has: one each takes a 32-byte row of a device, and nothing else.
enum class MessagesEach : std::uint8_t { kMany, kOne };

/// One row per message, by device and index (entry i is index i + 1). Written by the load's thread, read by the
/// verifier after it.
class Ledger {
 public:
  explicit Ledger(std::size_t devices, MessagesEach each = MessagesEach::kMany);
  void made(std::size_t device, const Message& message);
  void sent(std::size_t device, std::uint32_t index);
  void acknowledged(std::size_t device, std::uint32_t index, const Receipt& receipt);
  void refused(std::size_t device, std::uint32_t index);
  [[nodiscard]] std::span<const LedgerEntry> device(std::size_t device) const;
  [[nodiscard]] std::size_t devices() const { return many_.size() + one_.size(); }

 private:
  LedgerEntry& entry(std::size_t device, std::uint32_t index);

  std::vector<std::vector<LedgerEntry>> many_;
  std::vector<LedgerEntry> one_;
  std::vector<bool> one_made_;
};

}  // namespace millrace::fleet
