#include "load/ledger.hpp"

#include <millrace/telemetry/receipt.hpp>

namespace millrace::fleet {

std::string Receipt::to_string() const { return telemetry::Receipt{partition, offset, generation, false}.to_string(); }

std::optional<Receipt> parse_receipt(std::string_view text) {
  const auto parsed = telemetry::parse_receipt(text);
  if (!parsed.ok() || parsed->dead) return std::nullopt;
  return Receipt{parsed->partition, parsed->generation, parsed->offset};
}

Ledger::Ledger(std::size_t devices, MessagesEach each) {
  if (each == MessagesEach::kMany) {
    many_.resize(devices);
  } else {
    one_.resize(devices);
    one_made_.resize(devices);
  }
}

LedgerEntry& Ledger::entry(std::size_t device, std::uint32_t index) {
  return one_.empty() ? many_[device][index - 1] : one_[device];
}

std::span<const LedgerEntry> Ledger::device(std::size_t device) const {
  if (one_.empty()) return many_[device];
  return {&one_[device], one_made_[device] ? 1U : 0U};
}

void Ledger::made(std::size_t device, const Message& message) {
  LedgerEntry entry;
  entry.time_us = message.time_us;
  entry.timed = message.timed;
  if (one_.empty()) {
    many_[device].push_back(entry);
  } else {
    one_[device] = entry;
    one_made_[device] = true;
  }
}

void Ledger::sent(std::size_t device, std::uint32_t index) {
  LedgerEntry& sent = entry(device, index);
  if (sent.fate == Fate::kMade) sent.fate = Fate::kSent;
}

void Ledger::acknowledged(std::size_t device, std::uint32_t index, const Receipt& receipt) {
  LedgerEntry& acknowledged = entry(device, index);
  acknowledged.fate = Fate::kAcknowledged;
  acknowledged.receipt = receipt;
}

void Ledger::refused(std::size_t device, std::uint32_t index) { entry(device, index).fate = Fate::kRefused; }

}  // namespace millrace::fleet
