#include "load/ledger.hpp"

#include <millrace/telemetry/receipt.hpp>

namespace millrace::fleet {

std::string Receipt::to_string() const { return telemetry::Receipt{partition, offset, generation, false}.to_string(); }

std::optional<Receipt> parse_receipt(std::string_view text) {
  const auto parsed = telemetry::parse_receipt(text);
  if (!parsed.ok() || parsed->dead) return std::nullopt;
  return Receipt{parsed->partition, parsed->generation, parsed->offset};
}

void Ledger::made(std::size_t device, const Message& message) {
  LedgerEntry entry;
  entry.time_us = message.time_us;
  entry.timed = message.timed;
  devices_[device].push_back(entry);
}

void Ledger::sent(std::size_t device, std::uint32_t index) {
  LedgerEntry& entry = devices_[device][index - 1];
  if (entry.fate == Fate::kMade) entry.fate = Fate::kSent;
}

void Ledger::acknowledged(std::size_t device, std::uint32_t index, const Receipt& receipt) {
  LedgerEntry& entry = devices_[device][index - 1];
  entry.fate = Fate::kAcknowledged;
  entry.receipt = receipt;
}

void Ledger::refused(std::size_t device, std::uint32_t index) { devices_[device][index - 1].fate = Fate::kRefused; }

}  // namespace millrace::fleet
